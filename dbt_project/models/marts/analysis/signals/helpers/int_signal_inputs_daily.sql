-- What the signals look at, side by side on every day of an asset: states and measures of the marts, and the rows of
-- int_signal_percentiles_daily and int_signal_coverage_daily as columns. Nothing of the marts is reckoned again;
-- conditions are those of dbt_project.yml.
with inputs as (
    select * from {{ ref('int_signal_coverage_daily') }}
),

spine as ({{ stats_day_spine('inputs') }}),

reported as (
    select
        asset,
        trade_date,
        max(venue_share) filter (where input = 'oi') as oi_venue_share,
        max(venue_share) filter (where input = 'funding') as funding_venue_share,
        max(venue_share) filter (where input = 'positioning') as positioning_venue_share,
        max(venue_share) filter (where input = 'options') as options_venue_share,
        max(venue_share) filter (where input = 'leverage') as leverage_venue_share,
        max(venue_share) filter (where input = 'lending') as lending_venue_share,
        max(venue_share) filter (where input = 'perp_dex') as perp_dex_venue_share,
        max(venue_share) filter (where input = 'zones') as zones_venue_share,
        max(venue_share) filter (where input = 'liquidations') as liquidations_venue_share,
        max(completeness) filter (where input = 'lending') as lending_completeness,
        max(completeness) filter (where input = 'perp_dex') as perp_dex_completeness,
        max(completeness) filter (where input = 'liquidations') as liquidations_completeness,
        max(input_grain) filter (where input = 'oi') as oi_input_grain,
        max(input_grain) filter (where input = 'funding') as funding_input_grain,
        max(input_grain) filter (where input = 'positioning') as positioning_input_grain,
        max(input_grain) filter (where input = 'leverage') as leverage_input_grain,
        max(input_grain) filter (where input = 'liquidations') as liquidations_input_grain,
        max(available_at) filter (where input = 'oi') as oi_available_at,
        max(available_at) filter (where input = 'funding') as funding_available_at,
        max(available_at) filter (where input = 'positioning') as positioning_available_at,
        max(available_at) filter (where input = 'options') as options_available_at,
        max(available_at) filter (where input = 'leverage') as leverage_available_at,
        max(available_at) filter (where input = 'lending') as lending_available_at,
        max(available_at) filter (where input = 'perp_dex') as perp_dex_available_at,
        max(available_at) filter (where input = 'zones') as zones_available_at,
        max(available_at) filter (where input = 'liquidations') as liquidations_available_at
    from inputs
    group by asset, trade_date
),

-- Every day of the asset. A row rests on its windows too: it was not known before the last day of them.
coverage as (
    select
        spine.asset,
        spine.trade_date,
        reported.oi_venue_share,
        reported.funding_venue_share,
        reported.positioning_venue_share,
        reported.options_venue_share,
        reported.leverage_venue_share,
        reported.lending_venue_share,
        reported.perp_dex_venue_share,
        reported.zones_venue_share,
        reported.liquidations_venue_share,
        coalesce(reported.lending_completeness, 'none') as lending_completeness,
        coalesce(reported.perp_dex_completeness, 'none') as perp_dex_completeness,
        coalesce(reported.liquidations_completeness, 'none') as liquidations_completeness,
        reported.oi_input_grain,
        reported.funding_input_grain,
        reported.positioning_input_grain,
        reported.leverage_input_grain,
        reported.liquidations_input_grain,
        max(reported.oi_available_at) over so_far as oi_available_at,
        max(reported.funding_available_at) over so_far as funding_available_at,
        max(reported.positioning_available_at) over so_far as positioning_available_at,
        max(reported.options_available_at) over so_far as options_available_at,
        max(reported.leverage_available_at) over so_far as leverage_available_at,
        max(reported.lending_available_at) over so_far as lending_available_at,
        max(reported.perp_dex_available_at) over so_far as perp_dex_available_at,
        max(reported.zones_available_at) over so_far as zones_available_at,
        max(reported.liquidations_available_at) over so_far as liquidations_available_at,
        cast(spine.trade_date + 1 as timestamp) as ended_at
    from spine
    left join reported on spine.asset = reported.asset and spine.trade_date = reported.trade_date
    window so_far as (
        partition by spine.asset order by spine.trade_date rows between unbounded preceding and current row
    )
),

percentiles as (
    select
        asset,
        trade_date,
        max(value) filter (where measure = 'oi_zscore_90d') as oi_zscore_90d,
        max(percentile) filter (where measure = 'oi_zscore_90d') as oi_zscore_90d_percentile,
        max(percentile) filter (where measure = 'rate_8h_sd_30d') as rate_8h_sd_30d_percentile
    from {{ ref('int_signal_percentiles_daily') }}
    group by asset, trade_date
),

daily as (
    select
        coverage.asset,
        coverage.trade_date,
        coverage.oi_venue_share,
        coverage.funding_venue_share,
        coverage.positioning_venue_share,
        coverage.options_venue_share,
        coverage.leverage_venue_share,
        coverage.lending_venue_share,
        coverage.perp_dex_venue_share,
        coverage.zones_venue_share,
        coverage.liquidations_venue_share,
        coverage.lending_completeness,
        coverage.perp_dex_completeness,
        coverage.liquidations_completeness,
        coverage.oi_input_grain,
        coverage.funding_input_grain,
        coverage.positioning_input_grain,
        coverage.leverage_input_grain,
        coverage.liquidations_input_grain,
        greatest(coverage.oi_available_at, coverage.ended_at) as oi_available_at,
        greatest(coverage.funding_available_at, coverage.ended_at) as funding_available_at,
        greatest(coverage.positioning_available_at, coverage.ended_at) as positioning_available_at,
        greatest(coverage.options_available_at, coverage.ended_at) as options_available_at,
        greatest(coverage.leverage_available_at, coverage.ended_at) as leverage_available_at,
        greatest(coverage.lending_available_at, coverage.ended_at) as lending_available_at,
        greatest(coverage.perp_dex_available_at, coverage.ended_at) as perp_dex_available_at,
        greatest(coverage.zones_available_at, coverage.ended_at) as zones_available_at,
        greatest(coverage.liquidations_available_at, coverage.ended_at) as liquidations_available_at,
        coalesce(oi.expansion, 'unknown') as expansion,
        coalesce(oi.expansion_confirmed, 'unknown') as expansion_confirmed,
        coalesce(oi.divergence, 'unknown') as divergence,
        -- A total that silent venues are only carried in is nothing the day told.
        case when oi.venues_present > 0 then oi.oi_base end as oi_base_reported,
        oi.close_usd,
        oi.volume_base,
        oi.volume_high_30d,
        oi.oi_compared_share_1d,
        {{ stats_snap('oi.oi_growth_1d') }} as oi_growth_1d,
        {{ stats_snap('oi.oi_log_change_1d / nullif(oi.oi_log_change_sd_30d, 0)') }} as oi_change_sigmas,
        percentiles.oi_zscore_90d,
        coalesce(funding.healthy_market, 'unknown') as healthy_market,
        coalesce(funding.normalization, 'unknown') as normalization,
        coalesce(funding.regime, 'unknown') as regime,
        funding.rate_8h,
        funding.rate_8h_mean_7d,
        funding.rate_8h_sd_30d,
        funding.excess_rate_8h_at_close,
        funding.excess_rate_percentile_90d,
        coalesce(positioning.capitulation, 'unknown') as capitulation,
        coalesce(positioning.positioning_extreme, 'unknown') as positioning_extreme,
        positioning.account_long_share,
        positioning.account_long_share_percentile_90d,
        positioning.put_call_oi_percentile_90d,
        positioning.oi_compared_share_7d,
        options.put_call_oi_ratio,
        leverage.oi_usd_chain_linked,
        leverage.oi_hhi_chain_linked,
        leverage.oi_to_volume,
        leverage.oi_to_volume_oi_share,
        leverage.systemic_risk_score,
        comparison.exchange_position_notional_usd,
        comparison.lending_collateral_seized_usd,
        comparison.perp_dex_position_notional_usd,
        comparison.lending_zscore_90d,
        comparison.perp_dex_zscore_90d,
        {{ stats_snap('-comparison.exchange_lending_zscore_divergence') }} as lending_zscore_lead,
        {{ stats_snap('-comparison.exchange_perp_dex_zscore_divergence') }} as perp_dex_zscore_lead,
        coalesce(zones.zone_state, 'unknown') as zone_state,
        {{ stats_snap('abs(zones.nearest_zone_distance)') }} as zone_distance,
        nullif(zones.days_known, 0) as zone_days_known,
        zones.close_usd as zone_close_usd,
        coalesce(cascades.state, 'unknown') as cascade,
        {{ liquidation_snap('liquidations.notional_usd') }} as liquidated_usd,
        cascades.daily_border_usd as liquidated_border_usd,
        cascades.border_excess as cascade_border_excess,
        percentiles.oi_zscore_90d_percentile,
        percentiles.rate_8h_sd_30d_percentile
    from coverage
    left join percentiles on coverage.asset = percentiles.asset and coverage.trade_date = percentiles.trade_date
    left join {{ ref('oi_trends_daily') }} as oi
        on coverage.asset = oi.asset and coverage.trade_date = oi.trade_date
    left join {{ ref('funding_regimes_daily') }} as funding
        on coverage.asset = funding.asset and coverage.trade_date = funding.trade_date
    left join {{ ref('positioning_divergence_daily') }} as positioning
        on coverage.asset = positioning.asset and coverage.trade_date = positioning.trade_date
    left join {{ ref('options_structure_daily') }} as options
        on coverage.asset = options.asset and coverage.trade_date = options.trade_date
    left join {{ ref('leverage_daily') }} as leverage
        on coverage.asset = leverage.asset and coverage.trade_date = leverage.trade_date
    left join {{ ref('liquidation_comparison_daily') }} as comparison
        on coverage.asset = comparison.asset and coverage.trade_date = comparison.trade_date
    left join {{ ref('int_liquidation_zones_daily') }} as zones
        on coverage.asset = zones.asset and coverage.trade_date = zones.trade_date
    left join {{ ref('int_cascade_days') }} as cascades
        on coverage.asset = cascades.asset and coverage.trade_date = cascades.trade_date
    left join {{ ref('int_liquidation_days') }} as liquidations
        on coverage.asset = liquidations.asset and coverage.trade_date = liquidations.trade_date
)

select
    *,
    -- The grid of open interest and funding. A chase is a cell that no signal looks at.
    case
        when oi_zscore_90d_percentile is null or excess_rate_percentile_90d is null then 'unknown'
        when {{ signal_condition('top_risk') }} then 'top_risk'
        when {{ signal_condition('bottom_zone') }} then 'bottom_zone'
        when {{ signal_condition('upside_setup') }} then 'upside_setup'
        when
            oi_zscore_90d_percentile <= {{ threshold('grid_low_percentile') }}
            and excess_rate_percentile_90d >= {{ threshold('grid_high_percentile') }}
            then 'chase'
        else 'none'
    end as grid_cell
from daily
