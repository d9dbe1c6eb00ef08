-- Exchange, perp DEX and lending liquidations of an asset side by side, each in its own measure. Per venue amounts and
-- their upper ends come from int_liquidations_by_venue_daily, leads and lags from liquidation_lead_lag_monthly; hours
-- are liquidation_comparison_hourly's.
{%- set sides = [
    {'name': 'exchange', 'kind': 'cex', 'measure': 'position_notional', 'amount': 'exchange_position_notional_usd'},
    {'name': 'perp_dex', 'kind': 'perp_dex', 'measure': 'position_notional', 'amount': 'perp_dex_position_notional_usd'},
    {
        'name': 'lending_collateral', 'kind': 'lending', 'measure': 'collateral_seized',
        'amount': 'lending_collateral_seized_usd',
    },
    {'name': 'lending_debt', 'kind': 'lending', 'measure': 'debt_repaid', 'amount': 'lending_debt_repaid_usd'},
] %}
{%- set ratios = [
    'liq_to_oi', 'liq_to_oi_long', 'liq_to_oi_short', 'liq_to_oi_usd', 'liq_to_oi_usd_long', 'liq_to_oi_usd_short',
] %}
{%- set lag_facts = ['best_lag_days', 'best_lag_correlation', 'lag_band', 'lag_common_days'] %}

with venues as (
    select * from {{ ref('int_liquidations_by_venue_daily') }}
),

-- The profiles of the days before a month hold for the whole month.
lags as (
    select
        asset,
        trade_month,
        {%- for counterpart in ['perp_dex', 'lending'] %}
        {%- set best = "filter (where counterpart = '" ~ counterpart ~ "' and is_best)" %}
        max(lag_days) {{ best }} as exchange_{{ counterpart }}_best_lag_days,
        max(correlation) {{ best }} as exchange_{{ counterpart }}_best_lag_correlation,
        max(correlation_band) filter (where counterpart = '{{ counterpart }}') as exchange_{{ counterpart }}_lag_band,
        max(common_days) filter (where counterpart = '{{ counterpart }}') as exchange_{{ counterpart }}_lag_common_days,
        {%- endfor %}
        max(available_at) as available_at
    from {{ ref('liquidation_lead_lag_monthly') }}
    group by asset, trade_month
),

spine as ({{ stats_day_spine('venues') }}),

expected as ({{ stats_expected_days('venues', ['venue', 'chain', 'asset', 'venue_kind', 'measure']) }}),

expected_venues as (
    select
        asset,
        trade_date,
        venue_kind,
        measure,
        count(*) as venues_expected
    from expected
    group by asset, trade_date, venue_kind, measure
),

-- Only venues known on both sides of a ratio enter it.
reported as (
    select
        asset,
        trade_date,
        venue_kind,
        measure,
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
        {%- for part in ['', '_long', '_short'] %}
        sum(case when oi_base_before is not null then quantity_base{{ part }} end)
        / nullif(sum(case when quantity_base{{ part }} is not null then oi_base_before end), 0)
            as liq_to_oi{{ part }},
        sum(case when oi_usd_before is not null then notional_usd{{ part }} end)
        / nullif(sum(case when notional_usd{{ part }} is not null then oi_usd_before end), 0)
            as liq_to_oi_usd{{ part }},
        {%- endfor %}
        count(case when notional_usd is not null then oi_usd_before end) as liq_to_oi_venues,
        {{ string_agg_list('sources') }} as source_lists,
        max(available_at) as available_at
    from venues
    group by asset, trade_date, venue_kind, measure
),

kinds as (
    select
        expected_venues.venues_expected,
        expected_venues.asset,
        expected_venues.trade_date,
        expected_venues.venue_kind,
        expected_venues.measure,
        coalesce(reported.venues_present, 0) as venues_present,
        coalesce(reported.completeness, 'none') as completeness,
        coalesce(reported.liq_to_oi_venues, 0) as liq_to_oi_venues,
        reported.notional_usd,
        reported.notional_usd_long,
        reported.notional_usd_short,
        reported.notional_usd_side_unknown,
        reported.notional_usd_upper,
        reported.unpriced_events,
        {%- for ratio in ratios %}
        reported.{{ ratio }},
        {%- endfor %}
        reported.source_lists,
        reported.available_at
    from expected_venues
    left join reported
        on expected_venues.asset = reported.asset
        and expected_venues.trade_date = reported.trade_date
        and expected_venues.venue_kind = reported.venue_kind
        and expected_venues.measure = reported.measure
),
{% for side in sides %}
{{ side.name }} as (
    select * from kinds where venue_kind = '{{ side.kind }}' and measure = '{{ side.measure }}'
),
{% endfor %}
daily as (
    select
        spine.asset,
        spine.trade_date,
        {%- for side in sides %}
        {{ side.name }}.notional_usd as {{ side.amount }},
        {%- if side.measure == 'position_notional' %}
        {{ side.name }}.notional_usd_long as {{ side.amount }}_long,
        {{ side.name }}.notional_usd_short as {{ side.amount }}_short,
        {{ side.name }}.notional_usd_side_unknown as {{ side.amount }}_side_unknown,
        {{ side.name }}.notional_usd_upper as {{ side.amount }}_upper,
        {%- endif %}
        coalesce({{ side.name }}.completeness, 'none') as {{ side.name }}_completeness,
        cast(coalesce({{ side.name }}.venues_present, 0) as int) as {{ side.name }}_venues_present,
        cast(coalesce({{ side.name }}.venues_expected, 0) as int) as {{ side.name }}_venues_expected,
        {{ side.name }}.venues_present / cast({{ side.name }}.venues_expected as double) as {{ side.name }}_venue_share,
        cast({{ side.name }}.unpriced_events as bigint) as {{ side.name }}_unpriced_events,
        {%- if side.measure == 'position_notional' %}
        {%- for ratio in ratios %}
        {{ side.name }}.{{ ratio }} as {{ side.name }}_{{ ratio }},
        {%- endfor %}
        cast(coalesce({{ side.name }}.liq_to_oi_venues, 0) as int) as {{ side.name }}_liq_to_oi_venues,
        {%- endif %}
        {%- endfor %}
        ln(1 + exchange.notional_usd) as exchange_log,
        ln(1 + perp_dex.notional_usd) as perp_dex_log,
        ln(1 + lending_collateral.notional_usd) as lending_log,
        nullif(concat_ws(
            ',',
            exchange.source_lists, perp_dex.source_lists, lending_collateral.source_lists, lending_debt.source_lists
        ), '') as source_lists,
        greatest(
            exchange.available_at, perp_dex.available_at,
            lending_collateral.available_at, lending_debt.available_at,
            cast(spine.trade_date + 1 as timestamp)
        ) as day_available_at
    from spine
    {%- for side in sides %}
    left join {{ side.name }} on spine.asset = {{ side.name }}.asset and spine.trade_date = {{ side.name }}.trade_date
    {%- endfor %}
),

scored as (
    select
        *,
        {{ stats_zscore('exchange_log', threshold('divergence_window_days'), 'before') }} as exchange_zscore_90d,
        {{ stats_zscore('perp_dex_log', threshold('divergence_window_days'), 'before') }} as perp_dex_zscore_90d,
        {{ stats_zscore('lending_log', threshold('divergence_window_days'), 'before') }} as lending_zscore_90d,
        {{ stats_correlation('exchange_log', 'perp_dex_log', threshold('correlation_window_days'), 'month_before') }}
            as exchange_perp_dex_correlation_30d,
        {{ stats_correlation('exchange_log', 'lending_log', threshold('correlation_window_days'), 'month_before') }}
            as exchange_lending_correlation_30d,
        max(day_available_at) over so_far as available_at
    from daily
    window
        before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('divergence_window_days')) }}
        ),
        month_before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('correlation_window_days')) }}
        ),
        so_far as (partition by asset order by trade_date rows between unbounded preceding and current row)
),

source_lists as ({{ distinct_sorted_list('daily', 'source_lists') }})

select
    scored.asset,
    scored.trade_date,
    {%- for side in sides %}
    scored.{{ side.amount }},
    {%- if side.measure == 'position_notional' %}
    scored.{{ side.amount }}_long,
    scored.{{ side.amount }}_short,
    scored.{{ side.amount }}_side_unknown,
    scored.{{ side.amount }}_upper,
    {%- endif %}
    scored.{{ side.name }}_completeness,
    scored.{{ side.name }}_venues_present,
    scored.{{ side.name }}_venues_expected,
    scored.{{ side.name }}_venue_share,
    scored.{{ side.name }}_unpriced_events,
    {%- if side.measure == 'position_notional' %}
    {%- for ratio in ratios %}
    scored.{{ side.name }}_{{ ratio }},
    {%- endfor %}
    scored.{{ side.name }}_liq_to_oi_venues,
    {%- endif %}
    {%- endfor %}
    scored.perp_dex_position_notional_usd
    / nullif(scored.perp_dex_position_notional_usd + scored.exchange_position_notional_usd, 0) as perp_dex_share,
    scored.lending_collateral_seized_usd
    / nullif(scored.exchange_position_notional_usd, 0) as lending_to_exchange_ratio,
    scored.exchange_zscore_90d,
    scored.perp_dex_zscore_90d,
    scored.lending_zscore_90d,
    scored.exchange_zscore_90d - scored.perp_dex_zscore_90d as exchange_perp_dex_zscore_divergence,
    scored.exchange_zscore_90d - scored.lending_zscore_90d as exchange_lending_zscore_divergence,
    scored.exchange_perp_dex_correlation_30d,
    scored.exchange_lending_correlation_30d,
    {%- for counterpart in ['perp_dex', 'lending'] %}
    {%- for fact in lag_facts %}
    lags.exchange_{{ counterpart }}_{{ fact }},
    {%- endfor %}
    {%- endfor %}
    source_lists.tidy as sources,
    greatest(scored.available_at, lags.available_at) as available_at
from scored
left join source_lists on scored.source_lists = source_lists.gathered
left join lags
    on scored.asset = lags.asset and cast(date_trunc('month', scored.trade_date) as date) = lags.trade_month
