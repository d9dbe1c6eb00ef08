-- Question: On which days did open interest grow by 8% or more while the price stayed flat, and of which assets?
-- (H01)
-- Unit: one row per asset and day: growth a fraction of the day before, moves in natural logs.
-- Trust: growth compares the same venues on both days, in coins, so a rising price is no growth. Flat is at most
-- half of sigma30. The first thirty days of an asset and days with too few venues are unknown and not in the
-- answer.
select
    trade_date,
    asset,
    oi_growth_1d,
    log_return,
    realized_vol_30d_daily,
    expansion_confirmed,
    oi_compared_share_1d,
    available_at
from {{ ref('oi_trends_daily') }}
where expansion = 'on'
order by trade_date desc, asset asc
