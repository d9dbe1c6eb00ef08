{#- Measures of shares on two sides. -#}

{#- ln(share / (1 - share)) of a share of longs; null at 0 and 1, where one side is empty and the scale has no value. -#}
{% macro logit(share) -%}
    case when {{ share }} > 0 and {{ share }} < 1 then ln({{ share }} / (1 - {{ share }})) end
{%- endmacro %}

{#- Extremes of a long share by its percentile (H14). -#}
{% macro stats_positioning_extreme(percentile) -%}
    case
        when {{ percentile }} is null then 'unknown'
        when {{ percentile }} >= {{ threshold('positioning_long_crowded_percentile') }} then 'long_crowded'
        when {{ percentile }} <= {{ threshold('positioning_short_crowded_percentile') }} then 'short_crowded'
        else 'none'
    end
{%- endmacro %}
