{#- Comments of columns as readers of the published file see them. What they say is in the models' yml. -#}

{#- dbt writes a column's description as its comment; here its unit and additivity follow it, since the description does
    not repeat them. -#}
{% macro duckdb__alter_column_comment(relation, column_dict) %}
    {%- set columns = {} -%}
    {%- for name, column in column_dict.items() -%}
        {%- set meta = column.get('config', {}).get('meta', {}) -%}
        {%- set higher = ', higher: ' ~ meta.orientation if meta.orientation else '' -%}
        {%- set measure = ' [' ~ meta.unit ~ ', ' ~ meta.additivity ~ higher ~ ']' if meta.unit else '' -%}
        {%- do columns.update({name: dict(column, description=column.description ~ measure)}) -%}
    {%- endfor -%}
    {{- dbt.duckdb__alter_column_comment(relation, columns) -}}
{% endmacro %}
