with candles as (
    select * from {{ ref('int_candles_daily') }}
    where market in ('perp', 'spot')
),

venues as (
    select * from {{ ref('venues') }}
),

series as (
    select
        c.venue,
        c.instrument,
        c.market,
        c.asset,
        c.trade_date,
        c.close_usd,
        c.is_stale,
        c.life,
        c.volume_base,
        c.volume_usd,
        c.day_completeness,
        c.period,
        c.source,
        c.available_at,
        v.price_rank
    from candles as c
    left join venues as v on c.venue = v.venue
),

ranked as (
    select
        venue,
        instrument,
        market,
        asset,
        trade_date,
        close_usd,
        is_stale,
        life,
        period,
        price_rank,
        row_number() over (
            partition by asset, market, trade_date
            order by is_stale, {{ best_price_first() }}
        ) as market_rank
    from series
    where close_usd is not null
),

-- The return of a series is measured on that series alone: a change of venue is not a move of the price, nor is a
-- ticker that comes back for another contract. A price that stands still without volume has no return.
foremost as (
    select
        today.asset,
        today.market,
        today.trade_date,
        today.venue,
        today.close_usd,
        today.is_stale,
        today.period,
        case
            when not today.is_stale and not day_before.is_stale then ln(today.close_usd / day_before.close_usd)
        end as log_return
    from ranked as today
    left join {{ ref('int_candles_daily') }} as day_before
        on
            today.venue = day_before.venue
            and today.instrument = day_before.instrument
            and today.market = day_before.market
            and today.life = day_before.life
            and today.trade_date - 1 = day_before.trade_date
    where today.market_rank = 1
),

perp as (
    select * from foremost
    where market = 'perp'
),

spot as (
    select * from foremost
    where market = 'spot'
),

-- Best perpetual against best spot of the foremost venue that has both.
basis_by_venue as (
    select
        p.asset,
        p.trade_date,
        p.close_usd / s.close_usd - 1e0 as basis
    from ranked as p
    inner join ranked as s
        on
            p.asset = s.asset
            and p.venue = s.venue
            and p.trade_date = s.trade_date
    where p.market = 'perp' and s.market = 'spot'
    qualify
        row_number() over (
            partition by p.asset, p.trade_date
            order by p.price_rank nulls last, p.venue, p.market_rank, s.market_rank
        ) = 1
),

days as (
    select
        asset,
        trade_date,
        sum(volume_base) filter (where market = 'perp') as volume_base,
        sum(volume_usd) filter (where market = 'perp') as volume_usd,
        sum(volume_base) filter (where market = 'spot') as spot_volume_base,
        cast({{ distinct_count('venue', "market = 'perp' and volume_base is not null") }} as int) as volume_venues,
        {{ string_agg_list('source') }} as source_lists,
        max(available_at) as available_at
    from series
    group by asset, trade_date
),

closes as (
    select
        d.asset,
        d.trade_date,
        coalesce(p.close_usd, s.close_usd) as close_usd,
        case when p.close_usd is not null then 'perp' else 'spot' end as close_market,
        coalesce(p.venue, s.venue) as close_venue,
        s.close_usd as spot_close_usd,
        p.close_usd as perp_close_usd,
        case when p.close_usd is not null then p.log_return else s.log_return end as log_return,
        coalesce(p.is_stale, s.is_stale) as is_stale,
        d.volume_base,
        d.volume_usd,
        d.spot_volume_base,
        b.basis,
        d.volume_venues,
        coalesce(p.period, s.period) as input_grain,
        d.source_lists,
        d.available_at
    from days as d
    left join perp as p on d.asset = p.asset and d.trade_date = p.trade_date
    left join spot as s on d.asset = s.asset and d.trade_date = s.trade_date
    left join basis_by_venue as b on d.asset = b.asset and d.trade_date = b.trade_date
    where p.close_usd is not null or s.close_usd is not null
),

source_lists as ({{ distinct_sorted_list('closes', 'source_lists') }})

select
    c.asset,
    c.trade_date,
    c.close_usd,
    c.close_market,
    c.close_venue,
    c.spot_close_usd,
    c.perp_close_usd,
    c.log_return,
    c.is_stale,
    c.volume_base,
    c.volume_usd,
    c.spot_volume_base,
    c.basis,
    c.volume_venues,
    c.input_grain,
    s.tidy as sources,
    c.available_at
from closes as c
inner join source_lists as s on c.source_lists = s.gathered
