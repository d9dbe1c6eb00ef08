-- Question: Which days are missing or partial, of whom, and why? The first query before trusting any other.
-- Unit: one row per source, table, venue and reason; days are counts.
-- Trust: complete: every expected day of every source has a row in data_coverage_daily, present or not. What a source
-- does not promise is not expected, so the days before its first are no gap.
select
    source,
    table_name,
    venue,
    status,
    primary_reason,
    count(*) as days,
    min(trade_date) as first_day,
    max(trade_date) as last_day
from {{ ref('data_coverage_daily') }}
where status in ('missing', 'partial')
group by source, table_name, venue, status, primary_reason
order by first_day, source, table_name, venue
