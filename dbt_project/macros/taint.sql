{#- When a reported value is implausible, once for all who judge it. Whatever is flagged stays in the facts with its reason and is
    left out of totals and windows. Only days up to the one judged are looked at, so that no later day changes a verdict. -#}

{#- Why open interest of a day is not believed, null where it is. It is several times the usual one of the days before, or a
    fraction of it, and could not be traded: neither since the day before in a day, nor since the usual value in all of those
    days; or another source of the same day does not show it. Without any volume it takes a factor that no market reaches. -#}
{% macro oi_taint_reason() -%}
    case
        when jump < {{ threshold('taint_jump_factor') }} then null
        when
            jump_1d >= {{ threshold('taint_jump_factor') }}
            and abs(oi_base - oi_base_day_before) > volume_base
            or abs(oi_base - usual_oi_base) > volume_base_window
            then 'jump beyond traded volume'
        when sources_ratio >= {{ threshold('taint_jump_factor') }} then 'jump that another source does not show'
        when volume_base is null and jump >= {{ threshold('taint_jump_factor_without_volume') }}
            then 'jump without known volume'
    end
{%- endmacro %}

{#- How many times one value is the other, whichever is larger; null where one is not above 0. -#}
{% macro taint_factor(value, other) -%}
    case when {{ value }} > 0 and {{ other }} > 0 then greatest({{ value }} / {{ other }}, {{ other }} / {{ value }}) end
{%- endmacro %}
