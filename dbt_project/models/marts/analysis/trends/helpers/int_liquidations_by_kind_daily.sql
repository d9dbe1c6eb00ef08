-- An asset's liquidations by kind: what liquidation_comparison_daily sets side by side. Kinds are measured differently
-- and never added up; amounts per venue and their upper ends are int_liquidations_by_venue_daily's.
with venues as (
    select
        *,
        {{ liquidation_kind('venue_kind', 'measure') }} as kind
    from {{ ref('int_liquidations_by_venue_daily') }}
),

expected as ({{ stats_expected_days('venues', ['venue', 'chain', 'asset', 'kind']) }}),

expected_venues as (
    select
        asset,
        trade_date,
        kind,
        count(*) as venues_expected
    from expected
    group by asset, trade_date, kind
),

reported as (
    select
        asset,
        trade_date,
        kind,
        count(*) as venues_present,
        {{ stats_priced_sum('notional_usd', 'unpriced_events') }} as notional_usd,
        sum(notional_usd_long) as notional_usd_long,
        sum(notional_usd_short) as notional_usd_short,
        sum(notional_usd_side_unknown) as notional_usd_side_unknown,
        -- One venue whose upper end is open leaves the total's open.
        case when count(notional_usd_upper) = count(notional_usd)
            then sum(notional_usd_upper)
        end as notional_usd_upper,
        {{ worst_completeness('completeness') }} as completeness,
        sum(unpriced_events) as unpriced_events,
        -- Only venues known on both sides of a ratio enter it.
        {{ stats_ratio_of_sums('quantity_base', 'oi_base_before') }} as liq_to_oi,
        {{ stats_ratio_of_sums('quantity_base_long', 'oi_base_before') }} as liq_to_oi_long,
        {{ stats_ratio_of_sums('quantity_base_short', 'oi_base_before') }} as liq_to_oi_short,
        {{ stats_ratio_of_sums('notional_usd', 'oi_usd_before') }} as liq_to_oi_usd,
        {{ stats_ratio_of_sums('notional_usd_long', 'oi_usd_before') }} as liq_to_oi_usd_long,
        {{ stats_ratio_of_sums('notional_usd_short', 'oi_usd_before') }} as liq_to_oi_usd_short,
        count(case when notional_usd is not null then oi_usd_before end) as liq_to_oi_venues,
        {{ string_agg_list('sources') }} as source_lists,
        max(available_at) as available_at
    from venues
    group by asset, trade_date, kind
),

spine as ({{ stats_day_spine('venues') }}),

kinds as ({{ liquidation_kinds() }}),

daily as (
    select
        spine.asset,
        spine.trade_date,
        kinds.kind,
        coalesce(expected_venues.venues_expected, 0) as venues_expected,
        coalesce(reported.venues_present, 0) as venues_present,
        coalesce(reported.completeness, 'none') as completeness,
        coalesce(reported.liq_to_oi_venues, 0) as liq_to_oi_venues,
        reported.notional_usd,
        ln(1 + reported.notional_usd) as log_usd,
        reported.notional_usd_long,
        reported.notional_usd_short,
        reported.notional_usd_side_unknown,
        reported.notional_usd_upper,
        reported.unpriced_events,
        reported.liq_to_oi,
        reported.liq_to_oi_long,
        reported.liq_to_oi_short,
        reported.liq_to_oi_usd,
        reported.liq_to_oi_usd_long,
        reported.liq_to_oi_usd_short,
        reported.source_lists,
        reported.available_at
    from spine
    cross join kinds
    left join expected_venues
        on spine.asset = expected_venues.asset
        and spine.trade_date = expected_venues.trade_date
        and kinds.kind = expected_venues.kind
    left join reported
        on spine.asset = reported.asset
        and spine.trade_date = reported.trade_date
        and kinds.kind = reported.kind
)

select
    asset,
    trade_date,
    kind,
    notional_usd,
    notional_usd_long,
    notional_usd_short,
    notional_usd_side_unknown,
    notional_usd_upper,
    completeness,
    cast(venues_present as int) as venues_present,
    cast(venues_expected as int) as venues_expected,
    venues_present / cast(nullif(venues_expected, 0) as double) as venue_share,
    cast(unpriced_events as bigint) as unpriced_events,
    liq_to_oi,
    liq_to_oi_long,
    liq_to_oi_short,
    liq_to_oi_usd,
    liq_to_oi_usd_long,
    liq_to_oi_usd_short,
    cast(liq_to_oi_venues as int) as liq_to_oi_venues,
    log_usd,
    {{ stats_zscore('log_usd', threshold('divergence_window_days'), 'days_before') }} as zscore_90d,
    source_lists,
    available_at
from daily
window days_before as (
    partition by asset, kind order by trade_date {{ stats_rows_before(threshold('divergence_window_days')) }}
)
