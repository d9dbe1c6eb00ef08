{#- Incremental models by loaded day.

    A model of models/intermediate/by_source says in its meta which clean tables it reads: clean_tables change their own day,
    clean_tables_next_day also the day after, and a load of clean_tables_all_days changes every day. The affected days are
    those that ops.loads saw with a load_seq above the model's watermark in ops.model_watermarks. They are deleted first (so
    a day that lost all its rows loses them here too) and built again; the watermark is written last. All of it is one
    transaction: a killed build leaves the model as it was. A full refresh starts from nothing. -#}

{% macro is_affected(day) -%}
    {%- if is_incremental() -%}
    ({{ day }} in ({{ affected_days() }}) or {{ everything_is_affected() }})
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

{% macro affected_days() -%}
    {%- set reads = config.get('meta', {}) -%}
    select l.trade_date
    from {{ source('ops', 'loads') }} as l
    where {{ loaded_since_watermark(reads.get('clean_tables', []) + reads.get('clean_tables_next_day', [])) }}
        and l.trade_date is not null
    {%- if reads.get('clean_tables_next_day') %}
    union
    select cast(l.trade_date + interval '1' day as date)
    from {{ source('ops', 'loads') }} as l
    where {{ loaded_since_watermark(reads.clean_tables_next_day) }}
        and l.trade_date is not null
    {%- endif -%}
{%- endmacro %}

{% macro everything_is_affected() -%}
    {%- set tables = config.get('meta', {}).get('clean_tables_all_days', []) -%}
    {%- if tables -%}
    exists (select 1 from {{ source('ops', 'loads') }} as l where {{ loaded_since_watermark(tables) }})
    {%- else -%}
    false
    {%- endif -%}
{%- endmacro %}

{% macro loaded_since_watermark(tables) -%}
    l.table_name in ('{{ tables | join("', '") }}')
        and l.load_seq > coalesce(
            (select max(w.load_seq) from {{ source('ops', 'model_watermarks') }} as w where w.model = '{{ this.name }}'), 0
        )
{%- endmacro %}

{% macro forget_affected_days() -%}
    {%- if is_incremental() -%}
    delete from {{ this }} where {{ is_affected('trade_date') }}
    {%- endif -%}
{%- endmacro %}

{% macro remember_watermark() -%}
    insert into {{ source('ops', 'model_watermarks') }} (model, load_seq, built_at)
    select '{{ this.name }}', l.load_seq, cast(current_timestamp as timestamp)
    from (select coalesce(max(load_seq), 0) as load_seq from {{ source('ops', 'loads') }}) as l
    where l.load_seq > coalesce(
        (select max(w.load_seq) from {{ source('ops', 'model_watermarks') }} as w where w.model = '{{ this.name }}'), -1
    )
{%- endmacro %}
