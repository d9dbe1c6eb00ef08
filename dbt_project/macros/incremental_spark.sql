{#- Incremental models by loaded day on Spark, which has no transaction and deletes nothing from Parquet.

    Each day is a partition (partition_by, dbt_project.yml): without it insert_overwrite replaces the whole table by the days that
    were built. The partitions of affected days are dropped before, so that a day that lost all its rows loses them here too, and
    the watermark, a property of the table itself, is written last: a build killed in between is made again by the next one.
    Affected days are asked for once and written into the statement, so that Spark reads no other partition. -#}

{% macro spark__rebuild_condition(model_name, day) -%}
    {%- set days = affected_dates(model_name) -%}
    {%- if is_wholly_affected(model_name) -%}
    true
    {%- elif days -%}
    {{ day }} in (date '{{ days | join("', date '") }}')
    {%- else -%}
    false
    {%- endif -%}
{%- endmacro %}

{#- The affected days as texts. -#}
{% macro affected_dates(model_name) -%}
    {%- if not execute -%}{{ return([]) }}{%- endif -%}
    {%- set found = run_query('select distinct cast(days.trade_date as string) from (' ~ affected_days(model_name) ~ ') as days') -%}
    {{ return(found.columns[0].values() | sort) }}
{%- endmacro %}

{% macro is_wholly_affected(model_name) -%}
    {%- if not execute -%}{{ return(false) }}{%- endif -%}
    {%- set found = run_query('select case when ' ~ needs_full_rebuild(model_name) ~ ' then 1 else 0 end as affected') -%}
    {{ return(found.columns[0].values()[0] == 1) }}
{%- endmacro %}

{% macro spark__watermark(model_name) -%}
    {%- set relation = load_relation(this) if execute else none -%}
    {%- if relation is none -%}
    0
    {%- else -%}
    {%- set found = run_query('show tblproperties ' ~ relation) -%}
    {%- set known = namespace(load_seq=0) -%}
    {%- for row in found.rows if row[0] == 'leverhouse.load_seq' -%}{%- set known.load_seq = row[1] | int -%}{%- endfor -%}
    {{- known.load_seq -}}
    {%- endif -%}
{%- endmacro %}

{% macro spark__delete_stale_days(relation) -%}
    {%- set days = affected_dates(relation.name) -%}
    {%- if is_wholly_affected(relation.name) -%}
    truncate table {{ relation }}
    {%- elif days -%}
    alter table {{ relation }} drop if exists
        {%- for day in days %} partition (trade_date = date '{{ day }}') {{- ',' if not loop.last }}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{% macro spark__keep_watermark(relation) -%}
    {%- if execute -%}
    {%- set found = run_query('select coalesce(max(load_seq), 0) as load_seq from ' ~ source('ops', 'loads')) -%}
    alter table {{ relation }} set tblproperties ('leverhouse.load_seq' = '{{ found.columns[0].values()[0] }}')
    {%- endif -%}
{%- endmacro %}
