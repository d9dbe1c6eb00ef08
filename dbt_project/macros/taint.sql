{#- When a reported value is implausible, once for all who judge it. Whatever is flagged stays in the facts with its reason and is
    left out of totals and windows. Only days up to the one judged are looked at, so that no later day changes a verdict. -#}

{#- Why open interest of a day is not believed, null where it is: it is several times the usual one of the days before (or a
    fraction of it), and either more than was traded that day, or another source of the same day does not show it; without any
    volume it takes a factor that no market reaches in days. The same rule up and down. -#}
{% macro oi_taint_reason(jump, change_base, volume_base, sources_ratio) -%}
    case
        when {{ jump }} < {{ threshold('taint_jump_factor') }} then null
        when {{ change_base }} > {{ volume_base }} then 'jump beyond traded volume'
        when {{ sources_ratio }} >= {{ threshold('taint_jump_factor') }} then 'jump that another source does not show'
        when {{ volume_base }} is null and {{ jump }} >= {{ threshold('taint_jump_factor_without_volume') }}
            then 'jump without known volume'
    end
{%- endmacro %}
