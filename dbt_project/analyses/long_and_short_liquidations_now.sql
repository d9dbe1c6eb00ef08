-- Question: How many dollars of longs and of shorts were liquidated on exchanges on the newest day, by asset?
-- Unit: one row per asset: US dollars of position notional.
-- Trust: null is not zero: no feed was heard. liquidations_oi_share says how much of the asset's open interest lies on
-- venues that are heard; feeds that are throttled give lower bounds.
select
    asset,
    trade_date,
    liquidated_24h_usd_long,
    liquidated_24h_usd_short,
    liquidated_24h_usd,
    liquidations_completeness,
    liquidations_oi_share
from {{ ref('latest_by_asset') }}
order by liquidated_24h_usd desc nulls last, asset asc
