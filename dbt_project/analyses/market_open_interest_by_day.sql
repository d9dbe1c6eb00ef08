-- Question: How much open interest is there in the market each day, over all assets and venues?
-- Unit: one row per day: US dollars, with the assets in the sum.
-- Trust: a stock may be summed over assets of one day and never over days. A total that moves because assets appear or
-- venues are missing is no change of the market: compare only days with the same assets and venue_share near 1.
select
    trade_date,
    sum(oi_usd) as oi_usd,
    count(oi_usd) as assets_known,
    min(venue_share) as venue_share_least
from {{ ref('oi_trends_daily') }}
group by trade_date
having count(oi_usd) > 0
order by trade_date
