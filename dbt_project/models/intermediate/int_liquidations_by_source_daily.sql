-- A view: one model reads it, and reads it once.
{{ config(materialized='view') }}
with events as (
    select * from {{ ref('int_liquidation_events_counted') }}
    where events > 0
),

totals as (
    select * from {{ ref('int_liquidation_totals_counted') }}
    where periods_present > 0
),

lending as (
    select * from {{ ref('int_lending_days') }}
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

prices as (
    select * from {{ ref('int_price_daily') }}
),

coverage as (
    select * from {{ ref('stg_coverage') }}
),

venues as (
    select * from {{ ref('venues') }}
),

listening as (
    select * from {{ ref('stg_listening') }}
),

-- Of a recorder: the stream as a whole, which also says how much of it is pushed, and single instruments.
streams as (
    select
        source,
        trade_date,
        listened_share,
        case when seconds_at_cap > 0 then seconds_at_cap / nullif(expected_events, 0) end as pushed_share
    from listening
    where instrument = '*'
),

-- Events of exchanges and perpetual DEXes. Those without a price take the close of their day.
priced_events as (
    select
        e.source,
        'liquidations' as table_name,
        e.venue,
        '' as chain,
        e.instrument as series,
        '' as coverage_series,
        i.asset,
        e.side,
        'position_notional' as measure,
        e.completeness,
        0 as period_minutes,
        1e0 as day_completeness,
        e.events,
        {{ asset_amount('e.quantity_base', 'i.multiplier') }} as quantity_base,
        {{ liquidation_value(
            'e.notional_usd', 'e.unpriced_events', asset_amount('e.unpriced_base', 'i.multiplier'), 'p.close_usd'
        ) }} as notional_usd,
        e.largest_usd,
        case when p.close_usd is null then e.unpriced_events else 0 end as unpriced_events,
        case
            when e.unpriced_events = 0 then 'stated'
            when p.close_usd is not null and e.notional_usd is null then 'day_close'
            when p.close_usd is not null then 'mixed'
            when e.notional_usd is not null then 'stated'
            else 'none'
        end as price_source,
        case
            when e.unpriced_events > 0 then greatest(e.available_at, coalesce(p.available_at, e.available_at))
            else e.available_at
        end as available_at,
        e.trade_date
    from events as e
    inner join instruments as i
        on
            e.venue = i.venue
            and e.instrument = i.instrument
            and e.trade_date >= i.valid_from
            and e.trade_date < i.valid_to
    left join prices as p on i.asset = p.asset and e.trade_date = p.trade_date
),

totals_in_asset_units as (
    select
        t.source,
        t.venue,
        t.instrument,
        i.asset,
        t.measure,
        t.measure || ' ' || t.period as coverage_series,
        t.completeness,
        t.period_minutes,
        {{ share_of_day('t.periods_present', 't.period_minutes') }} as day_completeness,
        t.long_usd,
        t.short_usd,
        t.total_usd,
        {{ asset_amount('t.long_base', 'i.multiplier') }} as long_base,
        {{ asset_amount('t.short_base', 'i.multiplier') }} as short_base,
        t.events,
        p.close_usd,
        t.available_at,
        greatest(t.available_at, coalesce(p.available_at, t.available_at)) as priced_available_at,
        t.trade_date
    from totals as t
    inner join instruments as i
        on
            t.venue = i.venue
            and t.instrument = i.instrument
            and t.trade_date >= i.valid_from
            and t.trade_date < i.valid_to
    left join prices as p on i.asset = p.asset and t.trade_date = p.trade_date
),

sides as ({{ liquidation_sides('totals_in_asset_units') }}),

-- A rest beside two stated sides counts only where it is more than rounding.
priced_totals as (
    select
        source,
        'liquidation_totals' as table_name,
        venue,
        '' as chain,
        instrument as series,
        coverage_series,
        asset,
        side,
        measure,
        completeness,
        period_minutes,
        day_completeness,
        case when long_usd is null and short_usd is null and side = 'unknown' then events end as events,
        quantity_base,
        {{ liquidation_side_value('stated_usd', 'quantity_base', 'close_usd') }} as notional_usd,
        cast(null as double) as largest_usd,
        cast(case when stated_usd is null and quantity_base > 0 and close_usd is null then 1 else 0 end as bigint)
            as unpriced_events,
        case
            when stated_usd is not null then 'stated'
            when close_usd is not null then 'day_close'
            else 'none'
        end as price_source,
        case when stated_usd is null then priced_available_at else available_at end as available_at,
        trade_date
    from sides
    where
        side <> 'unknown'
        or (long_usd is null and short_usd is null)
        or stated_usd > total_usd * {{ threshold('liquidation_rest_min_share') }}
),

priced_lending as (
    select
        source,
        'lending_liquidations' as table_name,
        venue,
        chain,
        asset as series,
        chain as coverage_series,
        asset,
        side,
        measure,
        completeness,
        0 as period_minutes,
        1e0 as day_completeness,
        events,
        quantity_base,
        notional_usd,
        largest_usd,
        unpriced_events,
        price_source,
        available_at,
        trade_date
    from lending
),

happened as (
    select * from priced_events
    union all
    select * from priced_totals
    union all
    select * from priced_lending
),

series_seen as (
    select
        source,
        table_name,
        venue,
        chain,
        series,
        coverage_series,
        asset,
        side,
        measure,
        period_minutes,
        max(completeness) as completeness
    from happened
    group by source, table_name, venue, chain, series, coverage_series, asset, side, measure, period_minutes
    having min(completeness) = max(completeness) and max(completeness) <> 'sampled'
),

-- Inside what a source covers, a day without an event is a zero: event tables are covered as a whole, totals by
-- instrument. A sample covers nothing.
quiet_days as (
    select
        s.source,
        s.table_name,
        s.venue,
        s.chain,
        s.series,
        s.coverage_series,
        s.asset,
        s.side,
        s.measure,
        s.completeness,
        s.period_minutes,
        1e0 as day_completeness,
        cast(0 as bigint) as events,
        0e0 as quantity_base,
        0e0 as notional_usd,
        cast(null as double) as largest_usd,
        cast(0 as bigint) as unpriced_events,
        'stated' as price_source,
        cast(c.trade_date + interval '1' day as timestamp) as available_at,
        c.trade_date
    from series_seen as s
    inner join coverage as c
        on
            s.source = c.source
            and s.table_name = c.table_name
            and s.venue = c.venue
            and s.coverage_series = c.series
            and case when s.table_name = 'liquidation_totals' then s.series else '*' end = c.instrument
    where
        (c.status = 'empty' or (c.status = 'complete' and s.table_name <> 'liquidation_totals'))
        and not exists (
            select 1
            from happened as h
            where
                h.source = s.source
                and h.table_name = s.table_name
                and h.venue = s.venue
                and h.chain = s.chain
                and h.series = s.series
                and h.coverage_series = s.coverage_series
                and h.side = s.side
                and h.measure = s.measure
                and h.trade_date = c.trade_date
        )
),

everything as (
    select * from happened
    union all
    select * from quiet_days
)

select
    e.source,
    e.table_name,
    e.venue,
    v.venue_kind,
    e.chain,
    e.series,
    e.asset,
    e.side,
    e.measure,
    e.completeness,
    e.period_minutes,
    least(e.day_completeness, coalesce(own.listened_share, streams.listened_share, e.day_completeness))
        as day_completeness,
    e.events,
    e.quantity_base,
    e.notional_usd,
    e.largest_usd,
    e.unpriced_events,
    e.price_source,
    coalesce(own.listened_share, streams.listened_share) as listened_share,
    streams.pushed_share,
    e.available_at,
    e.trade_date
from everything as e
left join venues as v on e.venue = v.venue
left join streams on e.source = streams.source and e.trade_date = streams.trade_date
left join listening as own
    on e.source = own.source and e.series = own.instrument and e.trade_date = own.trade_date
