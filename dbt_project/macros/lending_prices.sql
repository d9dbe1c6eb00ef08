{#- Amounts of tokens in whole tokens and in dollars of their time. What an amount is of, collateral, debt or bad debt, is
    for the models that ask. -#}

{#- A whole query: the legs of `relation` (source, chain, event_id, leg, protocol, occurred_at, token, amount_raw, amount,
    stated_usd, stated_value, value_unit, price_gap_seconds, completeness, available_at, trade_date) scaled by the token registry
    and priced, in this order: the event's own dollars; the value it states in another unit of account, times the price of the
    unit; the token's price. A price is the warehouse's own candle closed last before the event; else a price service on the
    token itself; else a price service on another token of the asset. None is older than price_gap_max_seconds. -#}
{% macro priced_legs(relation) %}
    with
    legs as (
        select * from {{ relation }}
    ),

    candles as (
        select * from {{ ref('stg_candles') }}
        where market in ('spot', 'perp', 'index')
    ),

    token_prices as (
        select * from {{ ref('stg_token_prices') }}
    ),

    instruments as (
        select * from {{ ref('int_instruments') }}
    ),

    tokens as (
        select * from {{ ref('int_tokens') }}
    ),

    assets as (
        select * from {{ ref('assets') }}
    ),

    venues as (
        select * from {{ ref('venues') }}
    ),

    -- A source names a token by its address or, where it dropped that, by its symbol, which only the registry may say.
    own_names as (
        select
            chain,
            token as name,
            token,
            asset,
            decimals,
            is_stable,
            is_registered
        from tokens
        where underlying_token is null
        union all
        select
            chain,
            lower(symbol) as name,
            token,
            asset,
            decimals,
            is_stable,
            is_registered
        from tokens
        where underlying_token is null and is_registered
    ),

    -- A receipt is reported under what it stands for; how much of it a unit is, nobody says, so that it is not scaled, and its
    -- price is no price of the asset.
    names as (
        select
            chain,
            name,
            token,
            asset,
            decimals,
            is_stable,
            is_registered,
            asset as price_of
        from own_names
        union all
        select
            r.chain,
            r.token as name,
            r.token,
            o.asset,
            cast(null as int) as decimals,
            o.is_stable,
            coalesce(o.is_registered, false) as is_registered,
            cast(null as string) as price_of
        from tokens as r
        left join own_names as o on r.chain = o.chain and r.underlying_token = o.name
        where r.underlying_token is not null
    ),

    scaled as (
        select
            l.source,
            l.chain,
            l.event_id,
            l.leg,
            l.protocol,
            l.occurred_at,
            l.token,
            coalesce(n.token, l.token) as priced_token,
            n.asset,
            n.is_stable,
            n.is_registered,
            coalesce(l.amount, cast(l.amount_raw as double) / power(10e0, n.decimals)) as amount,
            l.stated_usd,
            l.stated_value,
            coalesce(l.value_unit, '') as value_unit,
            l.price_gap_seconds,
            l.completeness,
            l.available_at,
            l.trade_date
        from legs as l
        left join names as n on l.chain = n.chain and l.token = n.name
    ),

    -- What each event's unit of account, and its token, may be priced by, in order.
    keys as (
        select
            t.tier,
            'unit' as basis,
            s.value_unit as price_key,
            s.chain,
            s.token,
            s.value_unit,
            s.occurred_at,
            s.trade_date
        from scaled as s
        cross join (values (1), (3)) as t (tier)
        where s.stated_usd is null and s.stated_value is not null
        union all
        select
            t.tier,
            'token' as basis,
            case t.tier when 2 then s.chain || ' ' || s.priced_token else s.asset end as price_key,
            s.chain,
            s.token,
            s.value_unit,
            s.occurred_at,
            s.trade_date
        from scaled as s
        cross join (values (1), (2), (3)) as t (tier)
        where s.stated_usd is null and case t.tier when 2 then s.token else s.asset end is not null
    ),

    wanted_days as (
        select
            tier,
            price_key,
            trade_date
        from keys
        union
        select
            tier,
            price_key,
            cast(trade_date - interval '1' day as date) as trade_date
        from keys
    ),

    candle_prices as (
        select
            1 as tier,
            i.asset as price_key,
            c.closed_at as priced_at,
            {{ asset_price('c.close', 'i.multiplier') }} as price_usd,
            case
                when c.period_minutes >= {{ threshold('day_close_min_minutes') }} then 'day_close'
                else 'candle'
            end as price_source,
            case c.market when 'spot' then 1 when 'index' then 2 else 3 end as market_rank,
            v.price_rank,
            c.period_minutes,
            c.venue,
            c.instrument,
            c.source,
            c.available_at
        from candles as c
        inner join instruments as i
            on
                c.venue = i.venue
                and c.instrument = i.instrument
                and c.trade_date >= i.valid_from
                and c.trade_date < i.valid_to
        inner join wanted_days as w on w.tier = 1 and i.asset = w.price_key and c.trade_date = w.trade_date
        inner join assets as quotes on i.quote = quotes.asset and quotes.kind = 'stable'
        left join venues as v on c.venue = v.venue
    ),

    service_prices as (
        select
            t.chain || ' ' || coalesce(n.token, t.token) as price_key,
            n.price_of as asset,
            t.chain,
            t.token,
            t.priced_at,
            t.price_usd,
            t.trade_date,
            t.source,
            t.available_at
        from token_prices as t
        left join names as n on t.chain = n.chain and t.token = n.name
    ),

    prices as (
        select
            tier,
            price_key,
            priced_at,
            price_usd,
            price_source,
            source,
            available_at
        from candle_prices
        qualify
            row_number() over (
                partition by price_key, priced_at
                order by period_minutes, market_rank, price_rank nulls last, venue, instrument, source
            ) = 1
        union all
        select
            w.tier,
            w.price_key,
            s.priced_at,
            s.price_usd,
            'token_price' as price_source,
            s.source,
            s.available_at
        from service_prices as s
        inner join wanted_days as w
            on
                s.trade_date = w.trade_date
                and case w.tier when 2 then s.price_key when 3 then s.asset end = w.price_key
        qualify
            row_number() over (
                partition by w.tier, w.price_key, s.priced_at order by s.source, s.chain, s.token
            ) = 1
    ),

    -- As-of: prices and events in one line of time per tier and key, each event looking back to the last price.
    timeline as (
        select
            tier,
            price_key,
            priced_at as at_time,
            0 as is_event,
            priced_at
        from prices
        union all
        select distinct
            tier,
            price_key,
            occurred_at as at_time,
            1 as is_event,
            cast(null as timestamp) as priced_at
        from keys
    ),

    looked_back as (
        select
            tier,
            price_key,
            at_time,
            is_event,
            max(priced_at) over (
                partition by tier, price_key order by at_time, is_event rows between unbounded preceding and current row
            ) as priced_at
        from timeline
    ),

    key_prices as (
        select
            l.tier,
            l.price_key,
            l.at_time as occurred_at,
            p.price_usd,
            p.price_source,
            p.source as price_from,
            p.available_at,
            {{ seconds_between('l.priced_at', 'l.at_time') }} as gap_seconds
        from looked_back as l
        inner join prices as p on l.tier = p.tier and l.price_key = p.price_key and l.priced_at = p.priced_at
        where
            l.is_event = 1
            and {{ seconds_between('l.priced_at', 'l.at_time') }} < {{ threshold('price_gap_max_seconds') }}
    ),

    event_prices as (
        select
            k.basis,
            k.chain,
            k.token,
            k.value_unit,
            k.occurred_at,
            p.price_usd,
            p.price_source,
            p.price_from,
            p.available_at,
            p.gap_seconds
        from (
            select distinct
                tier,
                basis,
                price_key,
                chain,
                token,
                value_unit,
                occurred_at
            from keys
        ) as k
        inner join key_prices as p
            on k.tier = p.tier and k.price_key = p.price_key and k.occurred_at = p.occurred_at
        -- A unit before a token.
        qualify
            row_number() over (
                partition by k.chain, k.token, k.value_unit, k.occurred_at order by k.basis desc, k.tier
            ) = 1
    ),

    valued as (
        select
            s.*,
            case p.basis when 'unit' then s.stated_value else s.amount end * p.price_usd as priced_usd,
            p.price_source,
            p.price_from,
            p.available_at as price_available_at,
            p.gap_seconds
        from scaled as s
        left join event_prices as p
            on
                s.chain = p.chain
                and s.token = p.token
                and s.value_unit = p.value_unit
                and s.occurred_at = p.occurred_at
    )

    select
        s.source,
        s.chain,
        s.event_id,
        s.leg,
        s.protocol,
        s.occurred_at,
        s.token,
        s.asset,
        coalesce(
            a.kind, case when s.is_stable then 'stable' when not s.is_stable then 'coin' when s.is_registered then 'claim' end
        ) as asset_kind,
        s.amount,
        coalesce(s.stated_usd, s.priced_usd) as amount_usd,
        case
            when s.stated_usd is not null then 'stated'
            when s.priced_usd is not null then s.price_source
            else 'none'
        end as price_source,
        case
            when s.stated_usd is not null then s.price_gap_seconds
            when s.priced_usd is not null then cast(floor(s.gap_seconds) as bigint)
        end as price_gap_seconds,
        case when s.stated_usd is null and s.priced_usd is not null then s.price_from end as price_from,
        s.completeness,
        case
            when s.stated_usd is null then greatest(s.available_at, coalesce(s.price_available_at, s.available_at))
            else s.available_at
        end as available_at,
        s.trade_date
    from valued as s
    left join assets as a on s.asset = a.asset
{% endmacro %}
