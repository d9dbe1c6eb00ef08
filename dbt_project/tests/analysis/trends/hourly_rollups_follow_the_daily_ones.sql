-- The incremental models by hour hold the rows that those by day do: one that missed a load shows here. Run dbt with
-- --full-refresh on the model that lags behind.
with hourly as (
    select
        'events' as table_name,
        source,
        trade_date,
        cast(sum(events) as bigint) as held_rows
    from {{ ref('int_liquidation_events_by_source_hourly') }}
    group by source, trade_date
    union all
    select
        'totals' as table_name,
        source,
        trade_date,
        cast(sum(periods_present) as bigint) as held_rows
    from {{ ref('int_liquidation_totals_by_source_hourly') }}
    group by source, trade_date
),

daily as (
    select
        'events' as table_name,
        source,
        trade_date,
        cast(sum(events) as bigint) as held_rows
    from {{ ref('int_liquidation_events_by_source') }}
    group by source, trade_date
    union all
    select
        'totals' as table_name,
        source,
        trade_date,
        cast(sum(periods_present) as bigint) as held_rows
    from {{ ref('int_liquidation_totals_by_source') }}
    where period_minutes <= {{ minutes_per_hour() }}
    group by source, trade_date
)

select
    coalesce(daily.table_name, hourly.table_name) as table_name,
    coalesce(daily.source, hourly.source) as source,
    coalesce(daily.trade_date, hourly.trade_date) as trade_date,
    daily.held_rows as held_by_day,
    hourly.held_rows as held_by_hour
from daily
full outer join hourly
    on
        daily.table_name = hourly.table_name
        and daily.source = hourly.source
        and daily.trade_date = hourly.trade_date
where coalesce(daily.held_rows, 0) <> coalesce(hourly.held_rows, 0)
