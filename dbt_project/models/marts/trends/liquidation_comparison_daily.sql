-- Exchange, perp DEX and lending liquidations of an asset side by side, each in its own measure. Per venue amounts and
-- their upper ends come from int_liquidations_by_venue_daily; hours, leads and lags are not looked at here.
{%- set sides = [
    {'name': 'exchange', 'amount': 'exchange_position_notional_usd', 'kind': 'cex', 'measure': 'position_notional'},
    {'name': 'perp_dex', 'amount': 'perp_dex_position_notional_usd', 'kind': 'perp_dex', 'measure': 'position_notional'},
    {'name': 'lending_collateral', 'amount': 'lending_collateral_seized_usd', 'kind': 'lending', 'measure': 'collateral_seized'},
    {'name': 'lending_debt', 'amount': 'lending_debt_repaid_usd', 'kind': 'lending', 'measure': 'debt_repaid'},
] %}

with venues as (
    select * from {{ ref('int_liquidations_by_venue_daily') }}
),

expected as ({{ stats_expected_days('venues', ['venue', 'chain', 'asset', 'venue_kind', 'measure']) }}),

spine as ({{ stats_day_spine('venues') }}),

expected_venues as (
    select
        asset,
        trade_date
        {%- for side in sides %},
        count_if(venue_kind = '{{ side.kind }}' and measure = '{{ side.measure }}') as {{ side.name }}_venues_expected
        {%- endfor %}
    from expected
    group by asset, trade_date
),

totals as (
    select
        asset,
        trade_date
        {%- for side in sides %}
        {%- set here = "filter (where venue_kind = '" ~ side.kind ~ "' and measure = '" ~ side.measure ~ "'" %},
        sum(notional_usd) {{ here }}) as {{ side.amount }},
        count(*) {{ here }}) as {{ side.name }}_venues_present,
        {%- set feed = "case when venue_kind = '" ~ side.kind ~ "' and measure = '" ~ side.measure ~ "' then completeness end" %}
        {{ worst_completeness(feed) }} as {{ side.name }}_completeness,
        sum(unpriced_events) {{ here }}) as {{ side.name }}_unpriced_events
        {%- if side.measure == 'position_notional' %},
        sum(notional_usd_long) {{ here }}) as {{ side.amount }}_long,
        sum(notional_usd_short) {{ here }}) as {{ side.amount }}_short,
        sum(notional_usd_side_unknown) {{ here }}) as {{ side.amount }}_side_unknown,
        -- One venue whose upper end is open leaves the total's open.
        case when count(notional_usd_upper) {{ here }}) = count(notional_usd) {{ here }})
            then sum(notional_usd_upper) {{ here }})
        end as {{ side.amount }}_upper,
        -- Only venues known on both sides of a ratio enter it.
        {%- for part in ['', '_long', '_short'] %}
        sum(quantity_base{{ part }}) {{ here }} and oi_base_before is not null)
        / nullif(sum(oi_base_before) {{ here }} and quantity_base{{ part }} is not null), 0) as {{ side.name }}_liq_to_oi{{ part }},
        sum(notional_usd{{ part }}) {{ here }} and oi_usd_before is not null)
        / nullif(sum(oi_usd_before) {{ here }} and notional_usd{{ part }} is not null), 0) as {{ side.name }}_liq_to_oi_usd{{ part }},
        {%- endfor %}
        count(oi_usd_before) {{ here }} and notional_usd is not null) as {{ side.name }}_liq_to_oi_venues
        {%- endif %}
        {%- endfor %},
        {{ stats_gathered_list('sources') }} as source_lists,
        max(available_at) as available_at
    from venues
    group by asset, trade_date
),

daily as (
    select
        spine.asset,
        spine.trade_date
        {%- for side in sides %},
        totals.{{ side.amount }},
        coalesce(totals.{{ side.name }}_venues_present, 0) as {{ side.name }}_venues_present,
        coalesce(expected_venues.{{ side.name }}_venues_expected, 0) as {{ side.name }}_venues_expected,
        coalesce(totals.{{ side.name }}_completeness, 'none') as {{ side.name }}_completeness,
        totals.{{ side.name }}_unpriced_events
        {%- if side.measure == 'position_notional' %}
        {%- for part in ['_long', '_short', '_side_unknown', '_upper'] %},
        totals.{{ side.amount }}{{ part }}
        {%- endfor %}
        {%- for part in ['', '_long', '_short'] %},
        totals.{{ side.name }}_liq_to_oi{{ part }},
        totals.{{ side.name }}_liq_to_oi_usd{{ part }}
        {%- endfor %},
        coalesce(totals.{{ side.name }}_liq_to_oi_venues, 0) as {{ side.name }}_liq_to_oi_venues
        {%- endif %}
        {%- endfor %},
        ln(1 + totals.exchange_position_notional_usd) as exchange_log,
        ln(1 + totals.perp_dex_position_notional_usd) as perp_dex_log,
        ln(1 + totals.lending_collateral_seized_usd) as lending_log,
        totals.source_lists,
        greatest(totals.available_at, cast(spine.trade_date + 1 as timestamp)) as day_available_at
    from spine
    left join totals on spine.asset = totals.asset and spine.trade_date = totals.trade_date
    left join expected_venues on spine.asset = expected_venues.asset and spine.trade_date = expected_venues.trade_date
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
            as exchange_lending_correlation_30d
    from daily
    window
        before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('divergence_window_days')) }}
        ),
        month_before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('correlation_window_days')) }}
        )
),

source_lists as ({{ stats_tidy_lists('daily', 'source_lists') }})

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
    cast(scored.{{ side.name }}_venues_present as int) as {{ side.name }}_venues_present,
    cast(scored.{{ side.name }}_venues_expected as int) as {{ side.name }}_venues_expected,
    scored.{{ side.name }}_venues_present / cast(nullif(scored.{{ side.name }}_venues_expected, 0) as double)
        as {{ side.name }}_venue_share,
    cast(scored.{{ side.name }}_unpriced_events as bigint) as {{ side.name }}_unpriced_events,
    {%- if side.measure == 'position_notional' %}
    scored.{{ side.name }}_liq_to_oi,
    scored.{{ side.name }}_liq_to_oi_long,
    scored.{{ side.name }}_liq_to_oi_short,
    scored.{{ side.name }}_liq_to_oi_usd,
    scored.{{ side.name }}_liq_to_oi_usd_long,
    scored.{{ side.name }}_liq_to_oi_usd_short,
    cast(scored.{{ side.name }}_liq_to_oi_venues as int) as {{ side.name }}_liq_to_oi_venues,
    {%- endif %}
    {%- endfor %}
    scored.perp_dex_position_notional_usd
    / nullif(scored.perp_dex_position_notional_usd + scored.exchange_position_notional_usd, 0) as perp_dex_share,
    scored.lending_collateral_seized_usd / nullif(scored.exchange_position_notional_usd, 0) as lending_to_exchange_ratio,
    scored.exchange_zscore_90d,
    scored.perp_dex_zscore_90d,
    scored.lending_zscore_90d,
    scored.exchange_zscore_90d - scored.perp_dex_zscore_90d as exchange_perp_dex_zscore_divergence,
    scored.exchange_zscore_90d - scored.lending_zscore_90d as exchange_lending_zscore_divergence,
    scored.exchange_perp_dex_correlation_30d,
    scored.exchange_lending_correlation_30d,
    source_lists.tidy as sources,
    max(scored.day_available_at) over (
        partition by scored.asset order by scored.trade_date rows between unbounded preceding and current row
    ) as available_at
from scored
left join source_lists on scored.source_lists = source_lists.gathered
