-- Every dollar of fct_liquidations_daily stands once in liquidation_comparison_daily, under its own measure, and no
-- other dollar does.
with facts as (
    select
        asset,
        trade_date,
        sum(notional_usd) filter (where venue_kind = 'cex' and measure = 'position_notional') as exchange_usd,
        sum(notional_usd) filter (where venue_kind = 'perp_dex' and measure = 'position_notional') as perp_dex_usd,
        sum(notional_usd) filter (where venue_kind = 'lending' and measure = 'collateral_seized') as collateral_usd,
        sum(notional_usd) filter (where venue_kind = 'lending' and measure = 'debt_repaid') as debt_usd,
        sum(notional_usd) as all_usd
    from {{ ref('fct_liquidations_daily') }}
    group by asset, trade_date
),

stated as (
    select
        asset,
        trade_date,
        coalesce(exchange_position_notional_usd, 0) as exchange_usd,
        coalesce(perp_dex_position_notional_usd, 0) as perp_dex_usd,
        coalesce(lending_collateral_seized_usd, 0) as collateral_usd,
        coalesce(lending_debt_repaid_usd, 0) as debt_usd
    from {{ ref('liquidation_comparison_daily') }}
)

select facts.asset, facts.trade_date, facts.all_usd
from facts
left join stated on facts.asset = stated.asset and facts.trade_date = stated.trade_date
where
    stated.asset is null
    or abs(stated.exchange_usd - coalesce(facts.exchange_usd, 0)) > 1e-9 * greatest(1, facts.all_usd)
    or abs(stated.perp_dex_usd - coalesce(facts.perp_dex_usd, 0)) > 1e-9 * greatest(1, facts.all_usd)
    or abs(stated.collateral_usd - coalesce(facts.collateral_usd, 0)) > 1e-9 * greatest(1, facts.all_usd)
    or abs(stated.debt_usd - coalesce(facts.debt_usd, 0)) > 1e-9 * greatest(1, facts.all_usd)
    or abs(
        stated.exchange_usd + stated.perp_dex_usd + stated.collateral_usd + stated.debt_usd - coalesce(facts.all_usd, 0)
    ) > 1e-9 * greatest(1, facts.all_usd)
