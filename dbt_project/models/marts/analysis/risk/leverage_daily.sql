-- How levered an asset is, and how that stands in its own past. Totals over venues are oi_trends_daily's, liquidations
-- over open interest liquidation_comparison_daily's; neither is reckoned again here.
with trends as (
    select * from {{ ref('oi_trends_daily') }}
),

concentration as (
    select * from {{ ref('int_oi_concentration_daily') }}
),

turnover as (
    select * from {{ ref('int_oi_to_volume_daily') }}
),

liquidations as (
    select * from {{ ref('liquidation_comparison_daily') }}
),

daily as (
    select
        trends.asset,
        trends.trade_date,
        trends.oi_base,
        trends.oi_usd,
        trends.oi_usd * (trends.oi_base_chain_linked / nullif(trends.oi_base, 0)) as oi_usd_chain_linked,
        trends.oi_hhi,
        concentration.oi_hhi_chain_linked,
        concentration.level_segment,
        turnover.oi_to_volume,
        coalesce(turnover.oi_to_volume_venues, 0) as oi_to_volume_venues,
        turnover.oi_to_volume_oi_share,
        liquidations.exchange_liq_to_oi as liq_to_oi,
        liquidations.exchange_liq_to_oi_long as liq_to_oi_long,
        liquidations.exchange_liq_to_oi_short as liq_to_oi_short,
        liquidations.exchange_liq_to_oi_usd as liq_to_oi_usd,
        liquidations.exchange_liq_to_oi_usd_long as liq_to_oi_usd_long,
        liquidations.exchange_liq_to_oi_usd_short as liq_to_oi_usd_short,
        liquidations.perp_dex_liq_to_oi,
        liquidations.perp_dex_liq_to_oi_usd,
        coalesce(liquidations.exchange_liq_to_oi_venues, 0) as liq_to_oi_venues,
        coalesce(liquidations.exchange_completeness, 'none') as liq_to_oi_completeness,
        trends.input_grain,
        trends.venues_present,
        trends.venues_expected,
        trends.venue_share,
        nullif(concat_ws(',', trends.sources, turnover.source_lists, liquidations.sources), '') as day_sources,
        greatest(trends.available_at, turnover.available_at, liquidations.available_at) as day_available_at
    from trends
    left join concentration on trends.asset = concentration.asset and trends.trade_date = concentration.trade_date
    left join turnover on trends.asset = turnover.asset and trends.trade_date = turnover.trade_date
    left join liquidations on trends.asset = liquidations.asset and trends.trade_date = liquidations.trade_date
),

snapped as (
    select
        asset,
        level_segment,
        trade_date,
        {{ stats_snap('ln(case when oi_usd_chain_linked > 0 then oi_usd_chain_linked end)') }} as oi_usd,
        oi_hhi_chain_linked as oi_hhi,
        {{ stats_snap('oi_to_volume') }} as oi_to_volume
    from daily
),

oi_usd_ranks as (
    {{ stats_midrank(
        'snapped', ['asset', 'level_segment'], 'trade_date', 'oi_usd', threshold('long_run_window_days')
    ) }}
),

oi_hhi_ranks as (
    {{ stats_midrank(
        'snapped', ['asset', 'level_segment'], 'trade_date', 'oi_hhi', threshold('long_run_window_days')
    ) }}
),

oi_to_volume_ranks as (
    {{ stats_midrank('snapped', ['asset'], 'trade_date', 'oi_to_volume', threshold('long_run_window_days')) }}
),

ranked as (
    select
        daily.*,
        oi_usd_ranks.percentile as oi_usd_percentile_365d,
        -- Too small a part of the market must not speak for all of it.
        case
            when daily.oi_to_volume_oi_share >= {{ threshold('oi_comparable_share_min') }}
                then oi_to_volume_ranks.percentile
        end as oi_to_volume_percentile_365d,
        oi_hhi_ranks.percentile as oi_hhi_percentile_365d
    from daily
    left join oi_usd_ranks
        on daily.asset = oi_usd_ranks.asset and daily.trade_date = oi_usd_ranks.trade_date
    left join oi_to_volume_ranks
        on daily.asset = oi_to_volume_ranks.asset and daily.trade_date = oi_to_volume_ranks.trade_date
    left join oi_hhi_ranks
        on daily.asset = oi_hhi_ranks.asset and daily.trade_date = oi_hhi_ranks.trade_date
),

source_lists as ({{ distinct_sorted_list('ranked', 'day_sources') }})

select
    ranked.asset,
    ranked.trade_date,
    ranked.oi_base,
    ranked.oi_usd,
    ranked.oi_usd_chain_linked,
    ranked.oi_usd_percentile_365d,
    ranked.oi_to_volume,
    ranked.oi_to_volume_venues,
    ranked.oi_to_volume_oi_share,
    ranked.oi_to_volume_percentile_365d,
    ranked.oi_hhi,
    ranked.oi_hhi_chain_linked,
    ranked.oi_hhi_percentile_365d,
    -- A sum with an unknown part is unknown.
    (
        ranked.oi_usd_percentile_365d + ranked.oi_to_volume_percentile_365d + ranked.oi_hhi_percentile_365d
    ) / 3 as systemic_risk_score,
    case when ranked.oi_usd_percentile_365d is null then 0 else 1 end
    + case when ranked.oi_to_volume_percentile_365d is null then 0 else 1 end
    + case when ranked.oi_hhi_percentile_365d is null then 0 else 1 end as systemic_risk_parts,
    ranked.liq_to_oi,
    ranked.liq_to_oi_long,
    ranked.liq_to_oi_short,
    ranked.liq_to_oi_usd,
    ranked.liq_to_oi_usd_long,
    ranked.liq_to_oi_usd_short,
    ranked.liq_to_oi_venues,
    ranked.liq_to_oi_completeness,
    ranked.perp_dex_liq_to_oi,
    ranked.perp_dex_liq_to_oi_usd,
    ranked.input_grain,
    ranked.venues_present,
    ranked.venues_expected,
    ranked.venue_share,
    source_lists.tidy as sources,
    -- A row rests on its windows too: it was not known before the last day of them.
    max(ranked.day_available_at) over (
        partition by ranked.asset order by ranked.trade_date rows between unbounded preceding and current row
    ) as available_at
from ranked
left join source_lists on ranked.day_sources = source_lists.gathered
