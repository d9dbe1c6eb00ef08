-- Question: In which price zones did liquidations of AVAX pile up, as between 51 and 54.7 dollars? (H06)
-- Unit: one row per cluster of adjacent dense price bins and day; zone edges and amounts in US dollars, distance to the
-- close a fraction of it.
-- Trust: bins are 0.25% wide. Where input_grain is daily_close the whole day stands at its close, so such a zone is a
-- place in time more than one in price. A bin is dense against the 90 days before; the early days have no verdict.
select
    trade_date,
    cluster_id,
    min(cluster_low_usd) as zone_from_usd,
    max(cluster_high_usd) as zone_to_usd,
    count(*) as bins,
    sum(notional_usd) as liquidated_usd,
    sum(long_usd) as longs_usd,
    sum(short_usd) as shorts_usd,
    min(abs(distance_to_close)) as distance_to_close,
    max(input_grain) as input_grain
from {{ ref('liquidation_heatmap_daily') }}
where asset = 'AVAX' and is_dense
group by trade_date, cluster_id
order by trade_date, cluster_id
