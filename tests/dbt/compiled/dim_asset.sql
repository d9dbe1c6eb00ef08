with instruments as (
    select * from intermediate.int_instruments
),

assets as (
    select * from seeds.assets
),

prices as (
    select * from marts.fct_price_daily
),

open_interest as (
    select * from marts.fct_open_interest_daily
),

funding as (
    select * from marts.fct_funding_daily
),

positioning as (
    select * from marts.fct_positioning_daily
),

liquidations as (
    select * from marts.fct_liquidations_daily
),

bad_debt as (
    select * from marts.fct_lending_bad_debt_daily
),

seen as (
    select
        asset,
        trade_date
    from prices
    union
    select
        asset,
        trade_date
    from open_interest
    union
    select
        asset,
        trade_date
    from funding
    union
    select
        asset,
        trade_date
    from positioning
    union
    select
        asset,
        trade_date
    from liquidations
    union
    select
        asset,
        trade_date
    from bad_debt
),

days as (
    select
        asset,
        min(trade_date) as first_trade_date,
        max(trade_date) as last_trade_date
    from seen
    group by asset
),

classes as (
    select
        asset,
        max(asset_class) as asset_class
    from instruments
    where asset_class <> 'crypto'
    group by asset
),

known as (
    select asset from assets
    union
    select asset from instruments
    union
    select asset from days
)

select
    k.asset,
    a.name as asset_name,
    coalesce(a.kind, c.asset_class, 'coin') as asset_kind,
    1.0e0 as price_ref_usd,
    d.first_trade_date,
    d.last_trade_date
from known as k
left join assets as a on k.asset = a.asset
left join classes as c on k.asset = c.asset
left join days as d on k.asset = d.asset
