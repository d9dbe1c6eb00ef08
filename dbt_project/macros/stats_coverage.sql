{#- Who reported, who was expected to, and where the rows came from: what every total across venues needs beside it. -#}

{#- A whole query: each series on every day it is expected, with the day it last reported. A series is expected on
    the days it reported and, when it falls silent, on the N days after; then it counts as having left. The relation
    has one row per series and day. -#}
{% macro stats_expected_days(relation, keys) %}
    select {{ keys | join(', ') }}, trade_date, trade_date as reported_on, 0 as days_silent
    from {{ relation }}
    union all
    select
        report.{{ keys | join(', report.') }},
        report.trade_date + cast(silence.days as int) as trade_date,
        report.trade_date as reported_on,
        cast(silence.days as int) as days_silent
    from (
        select
            {{ keys | join(', ') }},
            trade_date,
            coalesce(
                lead(trade_date) over (partition by {{ keys | join(', ') }} order by trade_date), date '9999-12-31'
            ) as next_report
        from {{ relation }}
    ) as report
    cross join range(1, {{ threshold('venue_expected_days') }} + 1) as silence (days)
    where
        report.next_report > report.trade_date + 1
        and report.trade_date + cast(silence.days as int) < report.next_report
{% endmacro %}

{#- A whole query: every asset on every day from its first to its last row, so that a window of N rows is a window
    of N days. -#}
{% macro stats_day_spine(relation) %}
    select bounds.asset, calendar.trade_date
    from (
        select asset, min(trade_date) as first_day, max(trade_date) as last_day from {{ relation }} group by asset
    ) as bounds
    inner join {{ ref('int_calendar') }} as calendar
        on calendar.trade_date between bounds.first_day and bounds.last_day
{% endmacro %}

{#- A whole query: the distinct lists of a relation's column, each with its members once and sorted. Lists of lists
    repeat, so only the few distinct ones are taken apart. -#}
{% macro distinct_sorted_list(relation, column) %}
    select
        messy.gathered,
        {{ sorted_list('member.item') }} as tidy
    from (
        select
            gathered,
            {{ stats_split_list('gathered') }} as items
        from (
            select distinct {{ column }} as gathered from {{ relation }} where {{ column }} is not null
        ) as lists
    ) as messy
    cross join lateral unnest(messy.items) as member (item)
    group by messy.gathered
{% endmacro %}

{#- The texts of a group in one comma list, as they come: half the cost of sorting them where distinct_sorted_list does
    it later. -#}
{% macro string_agg_list(text) -%}
    {{ return(adapter.dispatch('string_agg_list', 'leverhouse')(text)) }}
{%- endmacro %}
{% macro default__string_agg_list(text) -%}
    string_agg({{ text }}, ',')
{%- endmacro %}
{% macro spark__string_agg_list(text) -%}
    nullif(concat_ws(',', collect_set({{ text }})), '')
{%- endmacro %}

{#- The members of a comma list. -#}
{% macro stats_split_list(list) -%}
    {{- adapter.dispatch('stats_split_list', 'leverhouse')(list) -}}
{%- endmacro %}
{% macro default__stats_split_list(list) -%}
    string_split({{ list }}, ',')
{%- endmacro %}
{% macro spark__stats_split_list(list) -%}
    split({{ list }}, ',')
{%- endmacro %}

{#- The sum of what is priced. Null where events happened and none of them has a price: unknown is not zero. -#}
{% macro stats_priced_sum(amount, unpriced_events) -%}
    case when sum({{ unpriced_events }}) > 0 and sum({{ amount }}) = 0 then null else sum({{ amount }}) end
{%- endmacro %}

{#- An hour's amount: what is reported of it, zero where nothing is and the day is covered. Of a report without any
    price the amount is unknown, as in stats_priced_sum. -#}
{% macro stats_zero_if_covered(amount, reports, covers, unpriced_events) -%}
    case
        when {{ unpriced_events }} > 0 and {{ amount }} = 0 then null
        when {{ reports }} > 0 then {{ amount }}
        when {{ covers }} then 0e0
    end
{%- endmacro %}

{#- A part over a whole, each summed over the rows that know both; null where none does or the whole is 0. -#}
{% macro stats_ratio_of_sums(part, whole) -%}
    sum(case when {{ whole }} is not null then {{ part }} end)
        / nullif(sum(case when {{ part }} is not null then {{ whole }} end), 0)
{%- endmacro %}
