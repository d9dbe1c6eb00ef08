{#- Spellings that differ between DuckDB and Spark. Everything else is written once, portably. -#}

{#- Distinct texts, sorted, joined with a comma; null where there are none. On DuckDB string_agg(distinct … order by …)
    says the same and takes five times as long; a distinct aggregate keeps a table of its own per group. -#}
{% macro sorted_list(text) %}{{ return(adapter.dispatch('sorted_list', 'leverhouse')(text)) }}{% endmacro %}
{% macro default__sorted_list(text) -%}
    array_to_string(list_sort(list_distinct(list({{ text }}) filter (where {{ text }} is not null))), ',')
{%- endmacro %}
{% macro spark__sorted_list(text) -%}
    nullif(concat_ws(',', array_sort(collect_set({{ text }}))), '')
{%- endmacro %}

{#- How many distinct texts of a small group meet a condition. -#}
{% macro distinct_count(text, condition) -%}
    {{ return(adapter.dispatch('distinct_count', 'leverhouse')(text, condition)) }}
{%- endmacro %}
{% macro default__distinct_count(text, condition) -%}
    coalesce(len(list_distinct(list({{ text }}) filter (where {{ condition }}))), 0)
{%- endmacro %}
{% macro spark__distinct_count(text, condition) -%}
    count(distinct {{ text }}) filter (where {{ condition }})
{%- endmacro %}

{#- The first few, by the alphabet, of the texts that meet a condition, joined with a comma; null where there are none. -#}
{% macro first_texts(text, condition, how_many) -%}
    {{ return(adapter.dispatch('first_texts', 'leverhouse')(text, condition, how_many)) }}
{%- endmacro %}
{% macro default__first_texts(text, condition, how_many) -%}
    array_to_string(min({{ text }}, {{ how_many }}) filter (where {{ condition }}), ',')
{%- endmacro %}
{% macro spark__first_texts(text, condition, how_many) -%}
    nullif(concat_ws(',', slice(array_sort(collect_list({{ text }}) filter (where {{ condition }})), 1, {{ how_many }})), '')
{%- endmacro %}

{#- Seconds from one instant to a later one, as a double. -#}
{% macro seconds_between(earlier, later) %}
    {{- return(adapter.dispatch('seconds_between', 'leverhouse')(earlier, later)) -}}
{% endmacro %}
{% macro default__seconds_between(earlier, later) -%}
    epoch({{ later }} - {{ earlier }})
{%- endmacro %}
{% macro spark__seconds_between(earlier, later) -%}
    (
        cast(
            unix_micros(cast({{ later }} as timestamp_ltz)) - unix_micros(cast({{ earlier }} as timestamp_ltz)) as double
        ) / 1e6
    )
{%- endmacro %}

{#- dbt-spark writes an empty seed cell as the text None and breaks on an apostrophe; this writes nulls and escapes. -#}
{% macro spark__load_csv_rows(model, agate_table) %}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- for chunk in agate_table.rows | batch(get_batch_size()) -%}
        {%- set statement -%}
            insert into {{ this.render() }} values
            {%- for row in chunk %}
            (
                {%- for column in agate_table.column_names -%}
                    {%- set value = row[column] -%}
                    cast(
                        {%- if value is none -%} null
                        {%- else -%} '{{ (value | string).replace('\\', '\\\\').replace("'", "\\'") }}'
                        {%- endif %} as {{ types.get(column, adapter.convert_type(agate_table, loop.index0)) }}
                    ) {{- ', ' if not loop.last }}
                {%- endfor -%}
            ) {{- ', ' if not loop.last }}
            {%- endfor %}
        {%- endset -%}
        {%- do adapter.add_query(statement, abridge_sql_log=True) -%}
    {%- endfor -%}
    {{ return('') }}
{% endmacro %}
