-- A day is on exactly when a cascade has a minute above its border on it, or is that day.
with days_of_cascades as (
    select distinct asset, trade_date
    from {{ ref('int_cascade_minutes') }}
    where is_hot
    union
    select asset, trade_date
    from {{ ref('liquidation_cascades') }}
    where input_grain = 'daily'
),

days_on as (
    select asset, trade_date from {{ ref('int_cascade_days') }}
    where state = 'on'
),

starts as (
    select asset, trade_date from {{ ref('liquidation_cascades') }}
)

select
    coalesce(days_on.asset, days_of_cascades.asset) as asset,
    coalesce(days_on.trade_date, days_of_cascades.trade_date) as trade_date
from days_on
full join days_of_cascades
    on days_on.asset = days_of_cascades.asset and days_on.trade_date = days_of_cascades.trade_date
where days_on.asset is null or days_of_cascades.asset is null
union all
select starts.asset, starts.trade_date
from starts
left join days_on on starts.asset = days_on.asset and starts.trade_date = days_on.trade_date
where days_on.asset is null
