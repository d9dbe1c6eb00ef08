-- Exchange, perp DEX and lending liquidations of an asset side by side hour by hour, each in its own measure, on the days
-- some feed tells hours apart. Ranges, ratios to open interest and statistics over days are liquidation_comparison_daily's.
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
        venue_kind,
        measure,
        count(*) as feeds_expected,
        count_if(is_day_covered) as feeds_covered_all_day,
        bool_or(is_hourly) as is_hourly,
        {{ worst_completeness('case when is_hourly then completeness end') }} as completeness
    from feeds
    group by asset, trade_date, venue_kind, measure
),

side_days as (
    select
        asset,
        trade_date,
        venue_kind,
        measure,
        side,
        bool_or(hours_known_by = 'day') as is_covered
    from feed_sides
    where hours_known_by <> 'none'
    group by asset, trade_date, venue_kind, measure, side
),

-- Which source speaks, and that its day is whole, is known when the day is.
days as (
    select
        asset,
        trade_date,
        {{ sorted_list("case when hours_known_by <> 'none' then source end") }} as sources,
        greatest(max(available_at), cast(trade_date + 1 as timestamp)) as available_at
    from feed_sides
    group by asset, trade_date
    having bool_or(hours_known_by <> 'none')
),

hours_of_day as (
    select cast(i as int) as hour_no from range(0, 24) as steps (i)
),

amounts as (
    select
        asset,
        opened_at,
        venue_kind,
        measure,
        side,
        sum(notional_usd) as notional_usd,
        case when count(events) = count(*) then sum(events) end as events,
        sum(unpriced_events) as unpriced_events
    from {{ ref('int_liquidations_hourly') }}
    group by asset, opened_at, venue_kind, measure, side
),

periods as (
    select
        asset,
        opened_at,
        venue_kind,
        measure,
        count(distinct concat_ws(' ', venue, chain, series)) as feeds_covered
    from {{ ref('int_liquidations_hourly') }}
    where is_hour_complete
    group by asset, opened_at, venue_kind, measure
),

-- A covered hour without an event is a zero; what happened without a price is not.
cells as (
    select
        side_days.asset,
        side_days.trade_date,
        cast(side_days.trade_date as timestamp) + hours_of_day.hour_no * interval '1' hour as opened_at,
        side_days.venue_kind,
        side_days.measure,
        side_days.side,
        amounts.asset is not null or side_days.is_covered as is_known,
        case when amounts.asset is not null then amounts.notional_usd when side_days.is_covered then 0e0 end
            as notional_usd,
        case when amounts.asset is not null then amounts.events when side_days.is_covered then 0 end as events,
        case when amounts.asset is not null then amounts.unpriced_events when side_days.is_covered then 0 end
            as unpriced_events
    from side_days
    cross join hours_of_day
    left join amounts
        on
            side_days.asset = amounts.asset
            and side_days.venue_kind = amounts.venue_kind
            and side_days.measure = amounts.measure
            and side_days.side = amounts.side
            and cast(side_days.trade_date as timestamp) + hours_of_day.hour_no * interval '1' hour = amounts.opened_at
),

kinds as (
    select
        asset,
        trade_date,
        opened_at,
        venue_kind,
        measure,
        sum(notional_usd) as notional_usd,
        {%- for column, side in position_sides.items() %}
        sum(notional_usd) filter (where side = '{{ side }}') as notional_usd_{{ column }},
        {%- endfor %}
        case when count_if(is_known and events is null) = 0 then cast(sum(events) as bigint) end as events,
        cast(sum(unpriced_events) as bigint) as unpriced_events,
        bool_or(is_known) as is_known
    from cells
    group by asset, trade_date, opened_at, venue_kind, measure
),

measured as (
    select
        kinds.*,
        feed_days.completeness,
        feed_days.feeds_covered_all_day + coalesce(periods.feeds_covered, 0) as feeds_covered
    from kinds
    inner join feed_days
        on
            kinds.asset = feed_days.asset
            and kinds.trade_date = feed_days.trade_date
            and kinds.venue_kind = feed_days.venue_kind
            and kinds.measure = feed_days.measure
    left join periods
        on
            kinds.asset = periods.asset
            and kinds.opened_at = periods.opened_at
            and kinds.venue_kind = periods.venue_kind
            and kinds.measure = periods.measure
),
{% for side in sides %}
{{ side.name }} as (
    select * from measured where venue_kind = '{{ side.kind }}' and measure = '{{ side.measure }}'
),

{{ side.name }}_days as (
    select * from feed_days where venue_kind = '{{ side.kind }}' and measure = '{{ side.measure }}'
),
{% endfor %}
spine as (
    select
        days.asset,
        days.trade_date,
        cast(days.trade_date as timestamp) + hours_of_day.hour_no * interval '1' hour as opened_at,
        days.sources,
        days.available_at
    from days
    cross join hours_of_day
)

select
    spine.asset,
    spine.opened_at,
    spine.trade_date,
    {%- for side in sides %}
    {{ side.name }}.notional_usd as {{ side.amount }},
    {%- if side.measure == 'position_notional' %}
    {%- for column in position_sides %}
    {{ side.name }}.notional_usd_{{ column }} as {{ side.amount }}_{{ column }},
    {%- endfor %}
    {%- endif %}
    {{ side.name }}.events as {{ side.name }}_events,
    {{ side.name }}.unpriced_events as {{ side.name }}_unpriced_events,
    case when {{ side.name }}.is_known then {{ side.name }}.completeness else 'none' end as {{ side.name }}_completeness,
    cast(coalesce({{ side.name }}.feeds_covered, 0) as int) as {{ side.name }}_feeds_covered,
    cast(coalesce({{ side.name }}_days.feeds_expected, 0) as int) as {{ side.name }}_feeds_expected,
    coalesce({{ side.name }}.feeds_covered = {{ side.name }}_days.feeds_expected, false) as {{ side.name }}_is_covered,
    {%- endfor %}
    perp_dex.notional_usd / nullif(perp_dex.notional_usd + exchange.notional_usd, 0) as perp_dex_share,
    lending_collateral.notional_usd / nullif(exchange.notional_usd, 0) as lending_to_exchange_ratio,
    spine.sources,
    spine.available_at
from spine
{%- for side in sides %}
left join {{ side.name }} on spine.asset = {{ side.name }}.asset and spine.opened_at = {{ side.name }}.opened_at
left join {{ side.name }}_days
    on spine.asset = {{ side.name }}_days.asset and spine.trade_date = {{ side.name }}_days.trade_date
{%- endfor %}
