-- Liquidations by the hour of the feeds that tell hours apart: sources, sides, units and prices of the daily models. Of
-- days inside which a contract began or ended only its hours. Hours in which nothing is reported have no row;
-- liquidation_comparison_hourly says whether they are zero.
with feeds as (
    select * from {{ ref('int_liquidation_feeds_daily') }}
    where hours_known_by <> 'none'
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

edges as (
    select * from {{ ref('int_contract_edges') }}
),

prices as (
    select asset, trade_date, close_usd from {{ ref('int_price_daily') }}
),

legs as (
    select * from {{ ref('int_lending_legs_by_source') }}
),

lending_events as ({{ lending_event_sides('legs') }}),

event_hours as (
    select
        e.source,
        'liquidations' as table_name,
        0 as period_minutes,
        e.venue,
        '' as chain,
        e.instrument as series,
        e.side,
        'position_notional' as measure,
        e.opened_at,
        e.events,
        {{ liquidation_value(
            'e.notional_usd', 'e.unpriced_events', asset_amount('e.unpriced_base', 'i.multiplier'), 'p.close_usd'
        ) }} as notional_usd,
        case when p.close_usd is null then e.unpriced_events else 0 end as unpriced_events,
        false as is_hour_complete,
        e.trade_date
    from {{ ref('int_liquidation_events_by_source_hourly') }} as e
    inner join instruments as i
        on
            e.venue = i.venue
            and e.instrument = i.instrument
            and e.trade_date >= i.valid_from
            and e.trade_date < i.valid_to
    left join edges as x on e.venue = x.venue and e.instrument = x.instrument and e.trade_date = x.trade_date
    left join prices as p on i.asset = p.asset and e.trade_date = p.trade_date
    where
        (x.ended_at is null or e.opened_at < x.ended_at)
        and (x.began_at is null or e.opened_at + interval '1' hour > x.began_at)
),

totals as (
    select
        t.source,
        t.venue,
        t.instrument,
        t.measure,
        t.period_minutes,
        t.opened_at,
        t.long_usd,
        t.short_usd,
        t.total_usd,
        {{ asset_amount('t.long_base', 'i.multiplier') }} as long_base,
        {{ asset_amount('t.short_base', 'i.multiplier') }} as short_base,
        t.events,
        p.close_usd,
        t.periods_present * t.period_minutes >= {{ minutes_per_hour() }} as is_hour_complete,
        t.trade_date
    from {{ ref('int_liquidation_totals_by_source_hourly') }} as t
    inner join instruments as i
        on
            t.venue = i.venue
            and t.instrument = i.instrument
            and t.trade_date >= i.valid_from
            and t.trade_date < i.valid_to
    left join edges as x on t.venue = x.venue and t.instrument = x.instrument and t.trade_date = x.trade_date
    left join prices as p on i.asset = p.asset and t.trade_date = p.trade_date
    where
        (x.ended_at is null or t.opened_at < x.ended_at)
        and (x.began_at is null or t.opened_at + interval '1' hour > x.began_at)
),

total_sides as ({{ liquidation_sides('totals') }}),

priced_sides as (
    select
        *,
        {{ liquidation_side_value('stated_usd', 'quantity_base', 'close_usd') }} as notional_usd
    from total_sides
),

total_hours as (
    select
        source,
        'liquidation_totals' as table_name,
        period_minutes,
        venue,
        '' as chain,
        instrument as series,
        side,
        measure,
        opened_at,
        case when long_usd is null and short_usd is null and side = 'unknown' then events end as events,
        notional_usd,
        cast(case when notional_usd is null and quantity_base > 0 then 1 else 0 end as bigint) as unpriced_events,
        is_hour_complete,
        trade_date
    from priced_sides
),

lending_hours as (
    select
        l.source,
        'lending_liquidations' as table_name,
        0 as period_minutes,
        l.protocol as venue,
        l.chain,
        e.asset as series,
        e.side,
        {{ lending_measure('l.leg') }} as measure,
        cast(date_trunc('hour', l.occurred_at) as timestamp) as opened_at,
        cast(count(*) as bigint) as events,
        sum(l.amount_usd) as notional_usd,
        cast(count(*) filter (where l.price_source = 'none') as bigint) as unpriced_events,
        false as is_hour_complete,
        l.trade_date
    from legs as l
    inner join lending_events as e
        on
            l.source = e.source
            and l.chain = e.chain
            and l.event_id = e.event_id
    group by l.source, l.protocol, l.chain, e.asset, e.side, l.leg, date_trunc('hour', l.occurred_at), l.trade_date
),

hours as (
    select * from event_hours
    union all
    select * from total_hours
    union all
    select * from lending_hours
)

-- Only what the daily models chose for the day.
select
    feeds.venue,
    feeds.chain,
    feeds.series,
    feeds.asset,
    feeds.side,
    feeds.measure,
    hours.opened_at,
    feeds.trade_date,
    feeds.venue_kind,
    hours.events,
    hours.notional_usd,
    hours.unpriced_events,
    hours.is_hour_complete
from hours
inner join feeds
    on
        hours.source = feeds.source
        and hours.table_name = feeds.table_name
        and hours.period_minutes = feeds.period_minutes
        and hours.venue = feeds.venue
        and hours.chain = feeds.chain
        and hours.series = feeds.series
        and hours.side = feeds.side
        and hours.measure = feeds.measure
        and hours.trade_date = feeds.trade_date
