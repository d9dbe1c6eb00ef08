-- Question: Which assets are most at risk now?
-- Unit: one row per asset: systemic_risk_score is a percentile, higher is more risk.
-- Trust: the mean rank of open interest, of open interest over volume and of concentration in the asset's own year. It
-- needs a year of each and is null until then; it says how an asset stands against its past, not against the others.
select
    asset,
    trade_date,
    systemic_risk_score,
    oi_percentile_365d,
    oi_to_volume,
    realized_vol_30d_annualized,
    signals_on_names
from {{ ref('latest_by_asset') }}
order by systemic_risk_score desc nulls last, oi_percentile_365d desc nulls last, asset asc
