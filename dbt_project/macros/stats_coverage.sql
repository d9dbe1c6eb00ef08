{#- Who reported, who was expected to, and where the rows came from: what every total across venues needs beside it. -#}

{#- A whole query: each series on every day it is expected, with the day it last reported. A series is expected on the days it
    reported and, when it falls silent, on the N days after; then it counts as having left. -#}
{% macro stats_expected_days(relation, keys) %}
    select
        report.{{ keys | join(', report.') }},
        report.trade_date + cast(silence.days as int) as trade_date,
        report.trade_date as reported_on,
        cast(silence.days as int) as days_silent
    from (
        select
            {{ keys | join(', ') }},
            trade_date,
            lead(trade_date) over (partition by {{ keys | join(', ') }} order by trade_date) as next_report
        from (select distinct {{ keys | join(', ') }}, trade_date from {{ relation }}) as reported_days
    ) as report
    cross join range(0, {{ threshold('venue_expected_days') }} + 1) as silence (days)
    where report.trade_date + cast(silence.days as int) < coalesce(report.next_report, date '9999-12-31')
{% endmacro %}

{#- A whole query: every asset on every day from its first to its last row, so that a window of N rows is a window of N days. -#}
{% macro stats_day_spine(relation) %}
    select bounds.asset, calendar.trade_date
    from (select asset, min(trade_date) as first_day, max(trade_date) as last_day from {{ relation }} group by asset) as bounds
    inner join {{ ref('dim_date') }} as calendar
        on calendar.trade_date between bounds.first_day and bounds.last_day
{% endmacro %}

{#- A whole query: the distinct lists of a relation's column, each with its members once and sorted. Lists of lists repeat, so
    only the few distinct ones are taken apart. -#}
{% macro stats_tidy_lists(relation, column) %}
    select messy.list as list, {{ sorted_list('member.item') }} as tidy
    from (select distinct {{ column }} as list from {{ relation }} where {{ column }} is not null) as messy
    cross join lateral unnest({{ stats_split_list('messy.list') }}) as member (item)
    group by messy.list
{% endmacro %}

{#- The members of a comma list. -#}
{% macro stats_split_list(list) -%}
    {{ return(adapter.dispatch('stats_split_list', 'leverhouse')(list)) }}
{%- endmacro %}
{% macro default__stats_split_list(list) -%}
    string_split({{ list }}, ',')
{%- endmacro %}
{% macro spark__stats_split_list(list) -%}
    split({{ list }}, ',')
{%- endmacro %}
