-- Exchange, perp DEX and lending liquidations of an asset side by side hour by hour, each in its own measure: the rows
-- of int_liquidations_by_kind_hourly as columns. Ranges, ratios to open interest and statistics over days are
-- liquidation_comparison_daily's.
with kinds as (
    select * from {{ ref('int_liquidations_by_kind_hourly') }}
)

-- The pivot: every kind has a row for every hour.
select
    exchange.asset,
    exchange.opened_at,
    exchange.trade_date,
    exchange.notional_usd as exchange_position_notional_usd,
    exchange.notional_usd_long as exchange_position_notional_usd_long,
    exchange.notional_usd_short as exchange_position_notional_usd_short,
    exchange.notional_usd_side_unknown as exchange_position_notional_usd_side_unknown,
    exchange.events as exchange_events,
    exchange.unpriced_events as exchange_unpriced_events,
    exchange.completeness as exchange_completeness,
    exchange.feeds_covered as exchange_feeds_covered,
    exchange.feeds_expected as exchange_feeds_expected,
    exchange.is_covered as exchange_is_covered,
    perp_dex.notional_usd as perp_dex_position_notional_usd,
    perp_dex.notional_usd_long as perp_dex_position_notional_usd_long,
    perp_dex.notional_usd_short as perp_dex_position_notional_usd_short,
    perp_dex.notional_usd_side_unknown as perp_dex_position_notional_usd_side_unknown,
    perp_dex.events as perp_dex_events,
    perp_dex.unpriced_events as perp_dex_unpriced_events,
    perp_dex.completeness as perp_dex_completeness,
    perp_dex.feeds_covered as perp_dex_feeds_covered,
    perp_dex.feeds_expected as perp_dex_feeds_expected,
    perp_dex.is_covered as perp_dex_is_covered,
    lending_collateral.notional_usd as lending_collateral_seized_usd,
    lending_collateral.events as lending_collateral_events,
    lending_collateral.unpriced_events as lending_collateral_unpriced_events,
    lending_collateral.completeness as lending_collateral_completeness,
    lending_collateral.feeds_covered as lending_collateral_feeds_covered,
    lending_collateral.feeds_expected as lending_collateral_feeds_expected,
    lending_collateral.is_covered as lending_collateral_is_covered,
    lending_debt.notional_usd as lending_debt_repaid_usd,
    lending_debt.events as lending_debt_events,
    lending_debt.unpriced_events as lending_debt_unpriced_events,
    lending_debt.completeness as lending_debt_completeness,
    lending_debt.feeds_covered as lending_debt_feeds_covered,
    lending_debt.feeds_expected as lending_debt_feeds_expected,
    lending_debt.is_covered as lending_debt_is_covered,
    perp_dex.notional_usd / nullif(perp_dex.notional_usd + exchange.notional_usd, 0) as perp_dex_share,
    lending_collateral.notional_usd / nullif(exchange.notional_usd, 0) as lending_to_exchange_ratio,
    exchange.sources,
    exchange.available_at
from kinds as exchange
inner join kinds as perp_dex
    on exchange.asset = perp_dex.asset and exchange.opened_at = perp_dex.opened_at
    and perp_dex.kind = 'perp_dex'
inner join kinds as lending_collateral
    on exchange.asset = lending_collateral.asset and exchange.opened_at = lending_collateral.opened_at
    and lending_collateral.kind = 'lending_collateral'
inner join kinds as lending_debt
    on exchange.asset = lending_debt.asset and exchange.opened_at = lending_debt.opened_at
    and lending_debt.kind = 'lending_debt'
where exchange.kind = 'exchange'
