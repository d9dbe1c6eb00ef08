-- signals_daily spread out: a state and a strength per signal, and what they say together. Nothing is judged here.

with signals as (
    select * from marts.signals_daily
),

-- Where open interest and funding stand on their grid, whether or not a signal looks at the cell.
grid as (
    select asset, trade_date, grid_cell, oi_zscore_90d_percentile, excess_rate_percentile_90d
    from intermediate.int_signal_inputs_daily
),

-- The pivot, a state and a strength per name. Signals speak of the price (up, down) or of risk (risk_up, risk_down); a
-- score is the mean of the known strengths of its own, plus where more of it is expected and minus where less. On a
-- grid, so that its last digits are the same in every run.
spread as (
    select
        asset,
        trade_date,
        max(case when signal = 'oi_expansion' then state end) as oi_expansion_state,
        max(case when signal = 'oi_expansion' then strength end) as oi_expansion_strength,
        max(case when signal = 'oi_expansion_confirmed' then state end) as oi_expansion_confirmed_state,
        max(case when signal = 'oi_expansion_confirmed' then strength end) as oi_expansion_confirmed_strength,
        max(case when signal = 'bought_dip' then state end) as bought_dip_state,
        max(case when signal = 'bought_dip' then strength end) as bought_dip_strength,
        max(case when signal = 'deleveraging' then state end) as deleveraging_state,
        max(case when signal = 'deleveraging' then strength end) as deleveraging_strength,
        max(case when signal = 'healthy_funding' then state end) as healthy_funding_state,
        max(case when signal = 'healthy_funding' then strength end) as healthy_funding_strength,
        max(case when signal = 'funding_normalization' then state end) as funding_normalization_state,
        max(case when signal = 'funding_normalization' then strength end) as funding_normalization_strength,
        max(case when signal = 'dense_liquidation_zone' then state end) as dense_liquidation_zone_state,
        max(case when signal = 'dense_liquidation_zone' then strength end) as dense_liquidation_zone_strength,
        max(case when signal = 'capitulation' then state end) as capitulation_state,
        max(case when signal = 'capitulation' then strength end) as capitulation_strength,
        max(case when signal = 'upside_setup' then state end) as upside_setup_state,
        max(case when signal = 'upside_setup' then strength end) as upside_setup_strength,
        max(case when signal = 'extreme_positive_funding' then state end) as extreme_positive_funding_state,
        max(case when signal = 'extreme_positive_funding' then strength end) as extreme_positive_funding_strength,
        max(case when signal = 'extreme_negative_funding' then state end) as extreme_negative_funding_state,
        max(case when signal = 'extreme_negative_funding' then strength end) as extreme_negative_funding_strength,
        max(case when signal = 'top_risk' then state end) as top_risk_state,
        max(case when signal = 'top_risk' then strength end) as top_risk_strength,
        max(case when signal = 'bottom_zone' then state end) as bottom_zone_state,
        max(case when signal = 'bottom_zone' then strength end) as bottom_zone_strength,
        max(case when signal = 'large_liquidations' then state end) as large_liquidations_state,
        max(case when signal = 'large_liquidations' then strength end) as large_liquidations_strength,
        max(case when signal = 'systemic_risk' then state end) as systemic_risk_state,
        max(case when signal = 'systemic_risk' then strength end) as systemic_risk_strength,
        max(case when signal = 'long_crowded' then state end) as long_crowded_state,
        max(case when signal = 'long_crowded' then strength end) as long_crowded_strength,
        max(case when signal = 'short_crowded' then state end) as short_crowded_state,
        max(case when signal = 'short_crowded' then strength end) as short_crowded_strength,
        max(case when signal = 'lending_stress' then state end) as lending_stress_state,
        max(case when signal = 'lending_stress' then strength end) as lending_stress_strength,
        max(case when signal = 'perp_dex_stress' then state end) as perp_dex_stress_state,
        max(case when signal = 'perp_dex_stress' then strength end) as perp_dex_stress_strength,
        floor((avg(case when direction in ('up', 'risk_down') then strength else -strength end)) * 1e12 + 0.5e0) / 1e12
            as combined_score,
        floor((avg(case when direction in ('up', 'risk_up') then 1 else -1 end * strength) filter (where direction in ('up', 'down'))) * 1e12 + 0.5e0) / 1e12
            as price_score,
        floor((avg(case when direction in ('up', 'risk_up') then 1 else -1 end * strength) filter (where direction in ('risk_up', 'risk_down'))) * 1e12 + 0.5e0) / 1e12 as risk_score,
        cast(count(strength) as int) as strengths_known,
        cast(count(strength) filter (where direction in ('up', 'down')) as int) as price_strengths_known,
        cast(count(strength) filter (where direction in ('risk_up', 'risk_down')) as int) as risk_strengths_known,
        cast(count_if(state <> 'unknown') as int) as signals_known,
        cast(count_if(state = 'on') as int) as signals_on,
        max(available_at) as available_at
    from signals
    group by asset, trade_date
)

select
    spread.asset,
    spread.trade_date,
    spread.oi_expansion_state,
    spread.oi_expansion_strength,
    spread.oi_expansion_confirmed_state,
    spread.oi_expansion_confirmed_strength,
    spread.bought_dip_state,
    spread.bought_dip_strength,
    spread.deleveraging_state,
    spread.deleveraging_strength,
    spread.healthy_funding_state,
    spread.healthy_funding_strength,
    spread.funding_normalization_state,
    spread.funding_normalization_strength,
    spread.dense_liquidation_zone_state,
    spread.dense_liquidation_zone_strength,
    spread.capitulation_state,
    spread.capitulation_strength,
    spread.upside_setup_state,
    spread.upside_setup_strength,
    spread.extreme_positive_funding_state,
    spread.extreme_positive_funding_strength,
    spread.extreme_negative_funding_state,
    spread.extreme_negative_funding_strength,
    spread.top_risk_state,
    spread.top_risk_strength,
    spread.bottom_zone_state,
    spread.bottom_zone_strength,
    spread.large_liquidations_state,
    spread.large_liquidations_strength,
    spread.systemic_risk_state,
    spread.systemic_risk_strength,
    spread.long_crowded_state,
    spread.long_crowded_strength,
    spread.short_crowded_state,
    spread.short_crowded_strength,
    spread.lending_stress_state,
    spread.lending_stress_strength,
    spread.perp_dex_stress_state,
    spread.perp_dex_stress_strength,
    grid.grid_cell,
    grid.oi_zscore_90d_percentile,
    grid.excess_rate_percentile_90d,
    spread.combined_score,
    spread.price_score,
    spread.risk_score,
    spread.strengths_known,
    spread.price_strengths_known,
    spread.risk_strengths_known,
    spread.signals_known,
    spread.signals_on,
    19 as signals_expected,
    nullif(
        concat_ws(
            ',',
            case when spread.oi_expansion_strength is not null then 'oi_expansion' end,
            case when spread.oi_expansion_confirmed_strength is not null then 'oi_expansion_confirmed' end,
            case when spread.bought_dip_strength is not null then 'bought_dip' end,
            case when spread.deleveraging_strength is not null then 'deleveraging' end,
            case when spread.healthy_funding_strength is not null then 'healthy_funding' end,
            case when spread.funding_normalization_strength is not null then 'funding_normalization' end,
            case when spread.dense_liquidation_zone_strength is not null then 'dense_liquidation_zone' end,
            case when spread.capitulation_strength is not null then 'capitulation' end,
            case when spread.upside_setup_strength is not null then 'upside_setup' end,
            case when spread.extreme_positive_funding_strength is not null then 'extreme_positive_funding' end,
            case when spread.extreme_negative_funding_strength is not null then 'extreme_negative_funding' end,
            case when spread.top_risk_strength is not null then 'top_risk' end,
            case when spread.bottom_zone_strength is not null then 'bottom_zone' end,
            case when spread.large_liquidations_strength is not null then 'large_liquidations' end,
            case when spread.systemic_risk_strength is not null then 'systemic_risk' end,
            case when spread.long_crowded_strength is not null then 'long_crowded' end,
            case when spread.short_crowded_strength is not null then 'short_crowded' end,
            case when spread.lending_stress_strength is not null then 'lending_stress' end,
            case when spread.perp_dex_stress_strength is not null then 'perp_dex_stress' end
        ), ''
    ) as score_inputs,
    spread.available_at
from spread
left join grid on spread.asset = grid.asset and spread.trade_date = grid.trade_date
