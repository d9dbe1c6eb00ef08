-- Question: Are liquidations on exchanges and in lending the same stress at two speeds? (H15)
-- Unit: one row per asset and month; US dollars of position notional on exchanges, of collateral seized in lending,
-- beside each other and never added; the divergence in standard deviations.
-- Trust: two measures of two things. Months count only days that both cover, ten at least; exchange amounts are lower
-- bounds, on-chain ones complete but for events without a price (unpriced_events).
select
    asset,
    cast(date_trunc('month', trade_date) as date) as month_start,
    count(*) as days_covered_by_both,
    sum(exchange_position_notional_usd) as exchange_usd,
    sum(lending_collateral_seized_usd) as lending_collateral_usd,
    cast(sum(lending_collateral_unpriced_events) as bigint) as unpriced_events,
    avg(exchange_lending_zscore_divergence) as mean_zscore_divergence,
    avg(exchange_lending_correlation_30d) as mean_correlation_30d
from {{ ref('liquidation_comparison_daily') }}
where exchange_position_notional_usd is not null and lending_collateral_seized_usd is not null
group by asset, cast(date_trunc('month', trade_date) as date)
having count(*) >= 10
order by asset, month_start
