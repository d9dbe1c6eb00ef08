{#- A number of docs/metrics.md, as a literal. An unknown name stops the compilation. Unit tests shorten windows with the
    var thresholds_in_test; nothing else sets it. -#}
{% macro threshold(name) -%}
    {%- set entry = var('thresholds').get(name) -%}
    {%- if entry is none -%}
        {{ exceptions.raise_compiler_error(
            "no threshold " ~ name ~ " in dbt_project.yml; add it under vars: thresholds: with value, unit, description"
        ) }}
    {%- endif -%}
    {{- number_literal(var('thresholds_in_test', {}).get(name, entry.value)) -}}
{%- endmacro %}

{#- 30 stays 30; 0.5 becomes 0.5e0, a double on every engine (a bare 0.5 is a decimal on Spark). -#}
{% macro number_literal(value) -%}
    {{- value if value is integer or 'e' in value | string else value ~ 'e0' -}}
{%- endmacro %}
