-- Exchange, perp DEX and lending liquidations of an asset side by side hour by hour, each in its own measure, on days
-- of which some feed tells the hours apart. Ranges, ratios to open interest and statistics over days are
-- liquidation_comparison_daily's.
{%- set sides = [
    {'name': 'exchange', 'kind': 'cex', 'measure': 'position_notional', 'amount': 'exchange_position_notional_usd'},
    {'name': 'perp_dex', 'kind': 'perp_dex', 'measure': 'position_notional', 'amount': 'perp_dex_position_notional_usd'},
    {
        'name': 'lending_collateral', 'kind': 'lending', 'measure': 'collateral_seized',
        'amount': 'lending_collateral_seized_usd',
    },
    {'name': 'lending_debt', 'kind': 'lending', 'measure': 'debt_repaid', 'amount': 'lending_debt_repaid_usd'},
] %}
{%- set position_sides = {'long': 'long', 'short': 'short', 'side_unknown': 'unknown'} %}

with feed_sides as (
    select * from {{ ref('int_liquidation_feeds_daily') }}
),

-- Every feed of the day's total counts as expected, also one that speaks of days only.
feeds as (
    select
        asset,
        trade_date,
        venue_kind,
        measure,
        venue,
        chain,
        series,
        bool_and(hours_known_by = 'day') as is_day_covered,
        bool_or(hours_known_by <> 'none') as is_hourly,
        {{ worst_completeness('completeness') }} as completeness
    from feed_sides
    group by asset, trade_date, venue_kind, measure, venue, chain, series
),

feed_days as (
    select
        asset,
        trade_date,
        {%- for side in sides %}
        {%- set of_side = "venue_kind = '" ~ side.kind ~ "' and measure = '" ~ side.measure ~ "'" %}
        count_if({{ of_side }}) as {{ side.name }}_feeds_expected,
        count_if({{ of_side }} and is_day_covered) as {{ side.name }}_feeds_covered,
        {{ worst_completeness('case when ' ~ of_side ~ ' and is_hourly then completeness end') }}
            as {{ side.name }}_completeness{{ ',' if not loop.last }}
        {%- endfor %}
    from feeds
    group by asset, trade_date
    having bool_or(is_hourly)
),

-- Which amounts are zero in an hour without events. Which source speaks, and that its day is whole, is known when the
-- day is.
days as (
    select
        asset,
        trade_date,
        {%- for side in sides %}
        {%- set of_side = "venue_kind = '" ~ side.kind ~ "' and measure = '" ~ side.measure ~ "'" %}
        {%- set covers = of_side ~ " and hours_known_by = 'day'" %}
        bool_or({{ covers }}) as {{ side.name }}_covers,
        {%- if side.measure == 'position_notional' %}
        {%- for column, position_side in position_sides.items() %}
        bool_or({{ covers }} and side = '{{ position_side }}') as {{ side.name }}_covers_{{ column }},
        {%- endfor %}
        {%- endif %}
        {%- endfor %}
        {{ sorted_list("case when hours_known_by <> 'none' then source end") }} as sources,
        greatest(max(available_at), cast(trade_date + 1 as timestamp)) as available_at
    from feed_sides
    group by asset, trade_date
    having bool_or(hours_known_by <> 'none')
),

reported as (
    select
        asset,
        opened_at,
        {%- for side in sides %}
        {%- set of_side = "filter (where venue_kind = '" ~ side.kind ~ "' and measure = '" ~ side.measure ~ "')" %}
        sum(notional_usd) {{ of_side }} as {{ side.name }}_usd,
        count(*) {{ of_side }} as {{ side.name }}_reports,
        count(events) {{ of_side }} as {{ side.name }}_counts,
        sum(events) {{ of_side }} as {{ side.name }}_events,
        sum(unpriced_events) {{ of_side }} as {{ side.name }}_unpriced_events,
        {%- if side.measure == 'position_notional' %}
        {%- for column, position_side in position_sides.items() %}
        {%- set of_column = "filter (where venue_kind = '" ~ side.kind ~ "' and side = '" ~ position_side ~ "')" %}
        sum(notional_usd) {{ of_column }} as {{ side.name }}_usd_{{ column }},
        count(*) {{ of_column }} as {{ side.name }}_reports_{{ column }},
        sum(unpriced_events) {{ of_column }} as {{ side.name }}_unpriced_events_{{ column }},
        {%- endfor %}
        {%- endif %}
        {%- endfor %}
        count(*) as reports
    from {{ ref('int_liquidations_hourly') }}
    group by asset, opened_at
),

periods as (
    select
        asset,
        opened_at,
        {%- for side in sides %}
        count(distinct concat_ws(' ', venue, chain, series)) filter (
            where venue_kind = '{{ side.kind }}' and measure = '{{ side.measure }}'
        ) as {{ side.name }}_feeds_covered{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_liquidations_hourly') }}
    where is_hour_complete
    group by asset, opened_at
),

spine as (
    select
        days.asset,
        days.trade_date,
        cast(days.trade_date as timestamp) + cast(steps.i as int) * interval '1' hour as opened_at
    from days
    cross join range(0, 24) as steps (i)
),

hours as (
    select
        spine.asset,
        spine.opened_at,
        spine.trade_date,
        {%- for side in sides %}
        coalesce(reported.{{ side.name }}_reports, 0) > 0 or days.{{ side.name }}_covers as {{ side.name }}_is_known,
        {{ stats_zero_if_covered(
            'reported.' ~ side.name ~ '_usd', 'reported.' ~ side.name ~ '_reports', 'days.' ~ side.name ~ '_covers',
            'reported.' ~ side.name ~ '_unpriced_events'
        ) }} as {{ side.name }}_usd,
        {%- if side.measure == 'position_notional' %}
        {%- for column in position_sides %}
        {{ stats_zero_if_covered(
            'reported.' ~ side.name ~ '_usd_' ~ column, 'reported.' ~ side.name ~ '_reports_' ~ column,
            'days.' ~ side.name ~ '_covers_' ~ column, 'reported.' ~ side.name ~ '_unpriced_events_' ~ column
        ) }} as {{ side.name }}_usd_{{ column }},
        {%- endfor %}
        {%- endif %}
        case
            when reported.{{ side.name }}_reports > reported.{{ side.name }}_counts then null
            when reported.{{ side.name }}_reports > 0 then reported.{{ side.name }}_events
            when days.{{ side.name }}_covers then 0
        end as {{ side.name }}_events,
        case
            when reported.{{ side.name }}_reports > 0 then reported.{{ side.name }}_unpriced_events
            when days.{{ side.name }}_covers then 0
        end as {{ side.name }}_unpriced_events,
        feed_days.{{ side.name }}_completeness,
        feed_days.{{ side.name }}_feeds_covered + coalesce(periods.{{ side.name }}_feeds_covered, 0)
            as {{ side.name }}_feeds_covered,
        feed_days.{{ side.name }}_feeds_expected,
        {%- endfor %}
        days.sources,
        days.available_at
    from spine
    inner join days on spine.asset = days.asset and spine.trade_date = days.trade_date
    inner join feed_days on spine.asset = feed_days.asset and spine.trade_date = feed_days.trade_date
    left join reported on spine.asset = reported.asset and spine.opened_at = reported.opened_at
    left join periods on spine.asset = periods.asset and spine.opened_at = periods.opened_at
)

select
    asset,
    opened_at,
    trade_date,
    {%- for side in sides %}
    {{ side.name }}_usd as {{ side.amount }},
    {%- if side.measure == 'position_notional' %}
    {%- for column in position_sides %}
    {{ side.name }}_usd_{{ column }} as {{ side.amount }}_{{ column }},
    {%- endfor %}
    {%- endif %}
    cast({{ side.name }}_events as bigint) as {{ side.name }}_events,
    cast({{ side.name }}_unpriced_events as bigint) as {{ side.name }}_unpriced_events,
    case when {{ side.name }}_is_known then {{ side.name }}_completeness else 'none' end
        as {{ side.name }}_completeness,
    cast({{ side.name }}_feeds_covered as int) as {{ side.name }}_feeds_covered,
    cast({{ side.name }}_feeds_expected as int) as {{ side.name }}_feeds_expected,
    {{ side.name }}_feeds_expected > 0 and {{ side.name }}_feeds_covered = {{ side.name }}_feeds_expected
        as {{ side.name }}_is_covered,
    {%- endfor %}
    perp_dex_usd / nullif(perp_dex_usd + exchange_usd, 0) as perp_dex_share,
    lending_collateral_usd / nullif(exchange_usd, 0) as lending_to_exchange_ratio,
    sources,
    available_at
from hours
