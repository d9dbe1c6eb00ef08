-- Question: Which assets carry the most open interest for the volume that trades?
-- Unit: one row per asset: days of trading that the open interest amounts to.
-- Trust: over venues that report both (oi_to_volume in leverage_daily). Open interest over market capitalization is
-- not here: no source of supply is loaded.
select
    asset,
    trade_date,
    oi_to_volume,
    oi_usd,
    oi_percentile_365d
from {{ ref('latest_by_asset') }}
order by oi_to_volume desc nulls last, asset asc
