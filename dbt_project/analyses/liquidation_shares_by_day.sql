-- Question: What was liquidated per day on exchanges, on perpetual DEXes and in lending, and what share have the DEXes?
-- Unit: one row per asset and day: US dollars of position notional, of collateral seized beside it, and the share of
-- perpetual DEXes in position notional as a fraction.
-- Trust: positions and collateral are two measures and never added, so lending has no share. The share is null unless
-- both kinds are heard; exchange amounts are lower bounds, and liquidations_coverage says of how much of the open
-- interest.
select
    trade_date,
    asset,
    exchange_position_notional_usd,
    perp_dex_position_notional_usd,
    lending_collateral_seized_usd,
    perp_dex_position_notional_usd / nullif(exchange_position_notional_usd + perp_dex_position_notional_usd, 0)
        as perp_dex_share,
    exchange_completeness,
    liquidations_coverage
from {{ ref('liquidation_comparison_daily') }}
where
    exchange_position_notional_usd is not null
    or perp_dex_position_notional_usd is not null
    or lending_collateral_seized_usd is not null
order by trade_date desc, asset asc
limit 500
