-- Question: Which data can not be trusted this month, venue by venue?
-- Unit: one row per venue, table and reason since the first day of the newest month: days.
-- Trust: every expected day of every source has a row in data_coverage_daily, so what is not listed was complete.
select
    venue,
    table_name,
    status,
    primary_reason,
    count(distinct trade_date) as days,
    max(trade_date) as last_day
from {{ ref('data_coverage_daily') }}
where
    status in ('missing', 'partial')
    and trade_date >= (
        select cast(date_trunc('month', max(newest.trade_date)) as date)
        from {{ ref('data_coverage_daily') }} as newest
    )
group by venue, table_name, status, primary_reason
order by days desc, venue asc, table_name asc, primary_reason asc
