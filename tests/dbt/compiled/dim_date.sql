with days as (
    select * from intermediate.int_calendar
)

-- 1970-01-05 was a Monday; the engines number weekdays differently.
select
    trade_date,
    cast(year(trade_date) as int) as year,
    cast(quarter(trade_date) as int) as quarter,
    cast(month(trade_date) as int) as month,
    cast(day(trade_date) as int) as day_of_month,
    cast(
        mod(
            cast(extract(day from (cast(trade_date as timestamp) - timestamp '1970-01-05 00:00:00')) as int), 7
        ) + 1 as int
    ) as iso_weekday,
    cast(date_trunc('month', trade_date) as date) as month_start,
    trade_date = last_day(trade_date) as is_month_end
from days
