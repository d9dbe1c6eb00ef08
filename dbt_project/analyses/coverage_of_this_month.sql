-- Question: Which data can not be trusted this month, venue by venue?
-- Unit: one row per venue and table since the first day of the newest month: days expected, missing and partial,
-- and one of the reasons (data_gaps_by_reason has all).
-- Trust: every expected day of every source has a row in data_coverage_daily. A venue with no missing and no
-- partial day is complete as far as its source promises.
select
    venue,
    table_name,
    count(distinct trade_date) as days_expected,
    count(distinct case when status = 'missing' then trade_date end) as days_missing,
    count(distinct case when status = 'partial' then trade_date end) as days_partial,
    max(primary_reason) as one_of_the_reasons
from {{ ref('data_coverage_daily') }}
where
    trade_date >= (
        select cast(date_trunc('month', max(newest.trade_date)) as date)
        from {{ ref('data_coverage_daily') }} as newest
    )
group by venue, table_name
order by days_missing desc, days_partial desc, venue asc, table_name asc
