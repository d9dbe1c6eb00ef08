with events as (
    select * from {{ ref('stg_lending_liquidations') }}
    where {{ is_affected('int_lending_legs_by_source', 'trade_date') }}
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

registry as (
    select * from {{ ref('token_registry') }}
),

assets as (
    select * from {{ ref('assets') }}
),

venues as (
    select * from {{ ref('venues') }}
),

legs as (
    select
        source,
        chain,
        event_id,
        'collateral' as leg,
        protocol,
        occurred_at,
        collateral_token as token,
        collateral_amount_raw as amount_raw,
        collateral_amount as amount,
        collateral_usd as stated_usd,
        price_gap_seconds,
        completeness,
        available_at,
        trade_date
    from events
    union all
    select
        source,
        chain,
        event_id,
        'debt' as leg,
        protocol,
        occurred_at,
        debt_token as token,
        debt_amount_raw as amount_raw,
        debt_amount as amount,
        debt_usd as stated_usd,
        price_gap_seconds,
        completeness,
        available_at,
        trade_date
    from events
    where debt_token is not null or debt_usd is not null
),

-- A source names a token by its address or, where it dropped that, by its symbol.
scaled as (
    select
        l.source,
        l.chain,
        l.event_id,
        l.leg,
        l.protocol,
        l.occurred_at,
        l.token,
        r.asset,
        coalesce(l.amount, cast(l.amount_raw as double) / power(10e0, r.decimals)) as amount,
        l.stated_usd,
        l.price_gap_seconds,
        l.completeness,
        l.available_at,
        l.trade_date
    from legs as l
    left join registry as r on l.chain = r.chain and (l.token = r.token or l.token = lower(r.symbol))
),

wanted as (
    select distinct
        asset,
        trade_date
    from scaled
    where stated_usd is null and asset is not null
),

wanted_days as (
    select
        asset,
        trade_date
    from wanted
    union
    select
        asset,
        cast(trade_date - interval '1' day as date) as trade_date
    from wanted
),

candle_prices as (
    select
        i.asset,
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
            and c.trade_date >= i.holds_from
            and c.trade_date < i.holds_until
    inner join wanted_days as w on i.asset = w.asset and c.trade_date = w.trade_date
    inner join assets as quotes on i.quote = quotes.asset and quotes.kind = 'stable'
    left join venues as v on c.venue = v.venue
),

service_prices as (
    select
        r.asset,
        t.priced_at,
        t.price_usd,
        'token_price' as price_source,
        t.source,
        t.available_at
    from token_prices as t
    inner join registry as r on t.chain = r.chain and (t.token = r.token or t.token = lower(r.symbol))
    inner join wanted_days as w on r.asset = w.asset and t.trade_date = w.trade_date
),

-- The warehouse's own candles before a price service: tier 1 before tier 2.
prices as (
    select
        1 as tier,
        asset,
        priced_at,
        price_usd,
        price_source,
        source,
        available_at
    from candle_prices
    qualify
        row_number() over (
            partition by asset, priced_at
            order by period_minutes, market_rank, price_rank nulls last, venue, instrument, source
        ) = 1
    union all
    select
        2 as tier,
        asset,
        priced_at,
        price_usd,
        price_source,
        source,
        available_at
    from service_prices
    qualify row_number() over (partition by asset, priced_at order by source) = 1
),

-- As-of: prices and events in one line of time per asset and tier, each event looking back to the last price.
timeline as (
    select
        tier,
        asset,
        priced_at as at_time,
        0 as is_event,
        priced_at
    from prices
    union all
    select distinct
        tiers.tier,
        s.asset,
        s.occurred_at as at_time,
        1 as is_event,
        cast(null as timestamp) as priced_at
    from scaled as s
    cross join (select distinct tier from prices) as tiers
    where s.stated_usd is null and s.asset is not null
),

looked_back as (
    select
        tier,
        asset,
        at_time,
        is_event,
        max(priced_at) over (
            partition by tier, asset order by at_time, is_event rows between unbounded preceding and current row
        ) as priced_at
    from timeline
),

event_prices as (
    select
        l.asset,
        l.at_time as occurred_at,
        p.price_usd,
        p.price_source,
        p.source as price_from,
        p.available_at,
        {{ seconds_between('l.priced_at', 'l.at_time') }} as gap_seconds
    from looked_back as l
    inner join prices as p on l.tier = p.tier and l.asset = p.asset and l.priced_at = p.priced_at
    where
        l.is_event = 1
        and {{ seconds_between('l.priced_at', 'l.at_time') }} < {{ threshold('price_gap_max_seconds') }}
    qualify row_number() over (partition by l.asset, l.at_time order by l.tier) = 1
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
    a.kind as asset_kind,
    s.amount,
    coalesce(s.stated_usd, s.amount * p.price_usd) as amount_usd,
    case
        when s.stated_usd is not null then 'stated'
        when s.amount is not null and p.price_usd is not null then p.price_source
        else 'none'
    end as price_source,
    case
        when s.stated_usd is not null then s.price_gap_seconds
        when s.amount is not null then cast(floor(p.gap_seconds) as bigint)
    end as price_gap_seconds,
    case when s.stated_usd is null and s.amount is not null then p.price_from end as price_from,
    s.completeness,
    case
        when s.stated_usd is null then greatest(s.available_at, coalesce(p.available_at, s.available_at))
        else s.available_at
    end as available_at,
    s.trade_date
from scaled as s
left join assets as a on s.asset = a.asset
left join event_prices as p on s.asset = p.asset and s.occurred_at = p.occurred_at
