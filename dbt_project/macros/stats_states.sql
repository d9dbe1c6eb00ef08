{#- How a state is spelled: text, and 'unknown' wherever one of its inputs is missing, never 'off'. -#}

{#- on or off by a condition, once every input is known. -#}
{% macro stats_state(condition, inputs) -%}
    case
        when {{ inputs | join(' is null or ') }} is null then 'unknown'
        when {{ condition }} then 'on'
        else 'off'
    end
{%- endmacro %}

{#- Rows since the run began that ends with this row, this one included: `row_no` counts the rows of the series from
    1, and `starts` is true on the first row of a run. The first row of a series starts one. -#}
{% macro stats_run_length(row_no, starts, so_far) -%}
    {{ row_no }} - coalesce(max(case when {{ starts }} then {{ row_no }} end) over {{ so_far }}, 1) + 1
{%- endmacro %}

{#- Rows in a row up to this one, this one included, on which nothing broke: 0 on a row that breaks. -#}
{% macro stats_unbroken(row_no, breaks, so_far) -%}
    {{ row_no }} - coalesce(max(case when {{ breaks }} then {{ row_no }} end) over {{ so_far }}, 0)
{%- endmacro %}
