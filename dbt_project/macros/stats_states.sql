{#- How a state is spelled: text, and 'unknown' wherever one of its inputs is missing, never 'off'. -#}

{#- on or off by a condition, once every input is known. -#}
{% macro stats_state(condition, inputs) -%}
    case
        when {{ inputs | join(' is null or ') }} is null then 'unknown'
        when {{ condition }} then 'on'
        else 'off'
    end
{%- endmacro %}

{#- Length of the unbroken run of equal states that ends with the row, the row included. `order_by` has no ties. -#}
{% macro stats_run_length(change_counter, partition_by, order_by) -%}
    row_number() over (partition by {{ partition_by }}, {{ change_counter }} order by {{ order_by }})
{%- endmacro %}
