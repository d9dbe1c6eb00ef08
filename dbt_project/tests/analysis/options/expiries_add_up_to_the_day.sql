-- The expiries of options_max_pain_daily hold every coin of open interest of their day, each once.
with expiries as (
    select
        asset,
        trade_date,
        sum(oi_base) as oi_base,
        sum(oi_share) as oi_share
    from {{ ref('options_max_pain_daily') }}
    group by asset, trade_date
)

select
    coalesce(expiries.asset, mart.asset) as asset,
    coalesce(expiries.trade_date, mart.trade_date) as trade_date,
    expiries.oi_base,
    mart.oi_base as mart_oi_base
from expiries
full join (
    select * from {{ ref('options_structure_daily') }} where venues_present > 0
) as mart
    on expiries.asset = mart.asset and expiries.trade_date = mart.trade_date
where
    expiries.asset is null
    or mart.asset is null
    or abs(expiries.oi_base - mart.oi_base) > 1e-9 * greatest(1, mart.oi_base)
    or abs(expiries.oi_share - 1) > 1e-9
