-- What the signals look at, side by side on every day of an asset, with the percentiles their strength is measured by.
-- States and measures are those of the marts, nothing of them is reckoned again; conditions are signals_daily's.
{%- set groups = ['oi', 'funding', 'positioning', 'options', 'leverage', 'comparison', 'zones', 'liquidations'] %}
{%- set onchain = {'lending': 'lending_collateral', 'perp_dex': 'perp_dex'} %}
{%- set ranks = {
    'volume_base': 'volume_window_days',
    'oi_growth_1d': 'signal_window_days',
    'oi_change_sigmas': 'signal_window_days',
    'oi_zscore_90d': 'grid_window_days',
    'rate_8h_sd_30d': 'long_run_window_days',
    'liquidated_usd': 'cascade_daily_days',
    'lending_zscore_lead': 'signal_window_days',
    'perp_dex_zscore_lead': 'signal_window_days',
} %}
{%- set sides = {'high': '>= ' ~ threshold('grid_high_percentile'), 'low': '<= ' ~ threshold('grid_low_percentile')} %}
{%- set cells = {
    'top_risk': ('high', 'high'),
    'bottom_zone': ('low', 'low'),
    'upside_setup': ('high', 'low'),
    'chase': ('low', 'high'),
} %}

with oi as (
    select * from {{ ref('oi_trends_daily') }}
),

funding as (
    select * from {{ ref('funding_regimes_daily') }}
),

positioning as (
    select * from {{ ref('positioning_divergence_daily') }}
),

options as (
    select * from {{ ref('options_structure_daily') }}
),

leverage as (
    select * from {{ ref('leverage_daily') }}
),

comparison as (
    select * from {{ ref('liquidation_comparison_daily') }}
),

zones as (
    select * from {{ ref('int_liquidation_zones_daily') }}
),

cascades as (
    select * from {{ ref('int_cascade_days') }}
),

-- Whether others cascaded too takes their data; whether the asset did does not.
liquidations as (
    select * from {{ ref('int_liquidation_days') }}
),

reported_days as (
    {%- for group in groups %}
    select asset, trade_date from {{ group }}
    {{ 'union' if not loop.last }}
    {%- endfor %}
),

spine as ({{ stats_day_spine('reported_days') }}),

daily as (
    select
        spine.asset,
        spine.trade_date,
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
        {{ stats_snap('oi.oi_zscore_90d') }} as oi_zscore_90d,
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
        {%- for group in ['oi', 'funding', 'positioning', 'options', 'leverage'] %}
        {{ group }}.venue_share as {{ group }}_venue_share,
        {%- endfor %}
        {%- for group in ['oi', 'funding', 'positioning', 'leverage'] %}
        {{ group }}.input_grain as {{ group }}_input_grain,
        {%- endfor %}
        {%- for counterpart, side in onchain.items() %}
        least(comparison.exchange_venue_share, comparison.{{ side }}_venue_share) as {{ counterpart }}_venue_share,
        {{ least_complete('comparison.exchange_completeness', 'comparison.' ~ side ~ '_completeness') }}
            as {{ counterpart }}_completeness,
        {%- endfor %}
        liquidations.venues_present / cast(nullif(liquidations.venues_expected, 0) as double)
            as liquidations_venue_share,
        coalesce(liquidations.completeness, 'none') as liquidations_completeness,
        nullif(cascades.input_grain, 'none') as liquidations_input_grain
    from spine
    {%- for group in groups + ['cascades'] %}
    left join {{ group }} on spine.asset = {{ group }}.asset and spine.trade_date = {{ group }}.trade_date
    {%- endfor %}
),

-- A row rests on its windows too: it was not known before the last day of them.
known as (
    select
        spine.asset,
        spine.trade_date,
        {%- for group in groups %}
        greatest(max({{ group }}.available_at) over so_far, cast(spine.trade_date + 1 as timestamp))
            as {{ group }}_available_at{{ ',' if not loop.last }}
        {%- endfor %}
    from spine
    {%- for group in groups %}
    left join {{ group }} on spine.asset = {{ group }}.asset and spine.trade_date = {{ group }}.trade_date
    {%- endfor %}
    window so_far as (
        partition by spine.asset order by spine.trade_date rows between unbounded preceding and current row
    )
),

-- DuckDB sorts whole rows for a window: a tenth of the time on a tenth of the columns.
ranked as (
    select
        asset,
        trade_date,
        {{ ranks.keys() | join(',
        ') }}
    from daily
),
{% for column, window in ranks.items() %}
{{ column }}_ranks as (
    {{ stats_midrank('ranked', ['asset'], 'trade_date', column, threshold(window)) }}
),
{% endfor %}
levels as (
    select
        asset,
        trade_date,
        {{ signal_level_percentile(
            'oi_growth_1d', threshold('expansion_growth'), threshold('signal_window_days'), 'days_before'
        ) }} as expansion_level_percentile,
        {{ signal_level_percentile(
            'oi_change_sigmas', threshold('divergence_oi_sigmas'), threshold('signal_window_days'), 'days_before'
        ) }} as bought_dip_level_percentile,
        {{ signal_level_percentile(
            'oi_change_sigmas', '-' ~ threshold('divergence_oi_sigmas'), threshold('signal_window_days'), 'days_before'
        ) }} as deleveraging_level_percentile,
        {%- for counterpart in ['lending', 'perp_dex'] %}
        {{ signal_level_percentile(
            counterpart ~ '_zscore_lead', threshold('onchain_lead_zscore'), threshold('signal_window_days'), 'days_before'
        ) }} as {{ counterpart }}_level_percentile{{ ',' if not loop.last }}
        {%- endfor %}
    from ranked
    window days_before as (
        partition by asset order by trade_date {{ stats_rows_before(threshold('signal_window_days')) }}
    )
)

select
    daily.*,
    {%- for column in ranks %}
    {{ column }}_ranks.percentile as {{ column }}_percentile,
    {%- endfor %}
    levels.expansion_level_percentile,
    levels.bought_dip_level_percentile,
    levels.deleveraging_level_percentile,
    levels.lending_level_percentile,
    levels.perp_dex_level_percentile,
    {%- for group in groups %}
    known.{{ group }}_available_at,
    {%- endfor %}
    known.comparison_available_at as lending_available_at,
    known.comparison_available_at as perp_dex_available_at,
    cast(null as double) as zones_venue_share,
    -- The grid of open interest and funding.
    case
        when oi_zscore_90d_ranks.percentile is null or daily.excess_rate_percentile_90d is null then 'unknown'
        {%- for cell, (oi_side, funding_side) in cells.items() %}
        when
            oi_zscore_90d_ranks.percentile {{ sides[oi_side] }}
            and daily.excess_rate_percentile_90d {{ sides[funding_side] }}
            then '{{ cell }}'
        {%- endfor %}
        else 'none'
    end as grid_cell
from daily
left join known on daily.asset = known.asset and daily.trade_date = known.trade_date
left join levels on daily.asset = levels.asset and daily.trade_date = levels.trade_date
{%- for column in ranks %}
left join {{ column }}_ranks
    on daily.asset = {{ column }}_ranks.asset and daily.trade_date = {{ column }}_ranks.trade_date
{%- endfor %}
