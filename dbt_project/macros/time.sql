{#- The UTC day a state describes: one stamped exactly 00:00 belongs to the day that ends there. -#}
{% macro state_day(stamp) -%}
    cast({{ stamp }} - interval '1' microsecond as date)
{%- endmacro %}

{#- Length of a period label in minutes; null for snapshot. -#}
{% macro period_minutes(period) -%}
    case {{ period }}
        when '1m' then 1 when '5m' then 5 when '15m' then 15 when '30m' then 30
        when '1h' then 60 when '4h' then 240 when '8h' then 480 when '1d' then 1440
    end
{%- endmacro %}

{#- Whole hours between two instants, rounded to the nearest. -#}
{% macro hours_between(earlier, later) -%}
    cast(floor({{ seconds_between(earlier, later) }} / 3600e0 + 0.5e0) as int)
{%- endmacro %}

{#- Minutes of an hour, for comparing with period_minutes. -#}
{% macro minutes_per_hour() -%} 60 {%- endmacro %}
