-- Totals of periods longer than an hour say nothing about an hour and stay out.
with totals as (
    select * from {{ ref('stg_liquidation_totals') }}
    where {{ needs_rebuild('int_liquidation_totals_by_source_hourly', 'trade_date') }}
        and period_minutes <= {{ minutes_per_hour() }}
)

select
    source,
    venue,
    instrument,
    measure,
    cast(period_minutes as int) as period_minutes,
    cast(date_trunc('hour', event_at) as timestamp) as opened_at,
    sum(long_usd) as long_usd,
    sum(short_usd) as short_usd,
    sum(total_usd) as total_usd,
    sum(long_base) as long_base,
    sum(short_base) as short_base,
    cast(sum(events) as bigint) as events,
    cast(count(*) as bigint) as periods_present,
    trade_date
from totals
group by source, venue, instrument, measure, period_minutes, date_trunc('hour', event_at), trade_date
