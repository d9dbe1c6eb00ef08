with loads as (
    select * from {{ ref('stg_loads') }}
),

coverage as (
    select * from {{ ref('stg_coverage') }}
),

-- Days of what marts tell about: neither versions of instruments nor prices kept for valuing events, nor days that
-- are awaited.
told as (
    select trade_date from loads
    where accepted > 0 and table_name not in ('instruments', 'token_prices')
    union
    select trade_date from coverage
    where table_name <> 'token_prices' and status <> 'missing'
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
)

select s.trade_date
from spine as s
inner join bounds as b on s.trade_date between b.first_day and b.last_day
