-- Question: How do the assets compare now: open interest, funding, positioning, liquidations, signals?
-- Unit: one row per asset, everything of its newest day.
-- Trust: trade_date may differ between assets where one is late. A column is null where that day does not tell it;
-- signals that are unknown count neither as on nor as off (signals_known).
select
    asset,
    trade_date,
    close_usd,
    oi_usd,
    oi_growth_7d,
    funding_rate_annual,
    regime,
    account_long_share,
    liquidated_24h_usd,
    systemic_risk_score,
    signals_on,
    signals_known,
    signals_on_names
from {{ ref('latest_by_asset') }}
order by oi_usd desc nulls last, asset asc
