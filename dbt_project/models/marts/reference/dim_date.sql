with loads as (
    select * from {{ ref('stg_loads') }}
),

coverage as (
    select * from {{ ref('stg_coverage') }}
),

-- Days of what marts tell about: neither versions of instruments nor prices kept for valuing events.
told as (
    select trade_date from loads
    where accepted > 0 and table_name not in ('instruments', 'token_prices')
    union
    select trade_date from coverage
    where table_name <> 'token_prices'
),

bounds as (
    select
        min(trade_date) as first_day,
        max(trade_date) as last_day
    from told
),

spine as (
    select date '2010-01-01' + cast(t.i as int) as trade_date
    from range(0, 36525) as t (i)
),

days as (
    select s.trade_date
    from spine as s
    inner join bounds as b on s.trade_date between b.first_day and b.last_day
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
