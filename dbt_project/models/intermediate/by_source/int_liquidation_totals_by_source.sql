with totals as (
    select * from {{ ref('stg_liquidation_totals') }}
    where {{ needs_rebuild('int_liquidation_totals_by_source', 'trade_date') }}
)

select
    source,
    venue,
    instrument,
    measure,
    period,
    cast(period_minutes as int) as period_minutes,
    {{ worst_completeness('completeness') }} as completeness,
    sum(long_usd) as long_usd,
    sum(short_usd) as short_usd,
    sum(total_usd) as total_usd,
    sum(long_base) as long_base,
    sum(short_base) as short_base,
    cast(sum(events) as bigint) as events,
    cast(count(*) as bigint) as periods_present,
    max(available_at) as available_at,
    trade_date
from totals
group by source, venue, instrument, measure, period, period_minutes, trade_date
