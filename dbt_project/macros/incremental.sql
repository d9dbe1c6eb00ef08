{#- Incremental models by loaded day.

    A model of models/intermediate/by_source names the clean tables it reads in meta.clean_tables. Its affected days are the
    days of those tables that ops.loads saw with a load_seq above the model's watermark in ops.model_watermarks. They are
    deleted first (so a day that lost all its rows loses them here too), then built again; the watermark is written last.
    All of it is one transaction, so a killed build leaves the model as it was. A full refresh starts from nothing. -#}

{% macro affected_days() -%}
    select distinct l.trade_date
    from {{ source('ops', 'loads') }} as l
    where l.table_name in ('{{ config.require('meta').clean_tables | join("', '") }}')
        and l.trade_date is not null
        and l.load_seq > coalesce(
            (select max(w.load_seq) from {{ source('ops', 'model_watermarks') }} as w where w.model = '{{ this.name }}'), 0
        )
{%- endmacro %}

{#- Condition of the model's own read of its clean table. -#}
{% macro is_affected(day) -%}
    {%- if is_incremental() -%} {{ day }} in ({{ affected_days() }}) {%- else -%} true {%- endif -%}
{%- endmacro %}

{% macro forget_affected_days() -%}
    {%- if is_incremental() -%} delete from {{ this }} where trade_date in ({{ affected_days() }}) {%- endif -%}
{%- endmacro %}

{% macro remember_watermark() -%}
    insert into {{ source('ops', 'model_watermarks') }} (model, load_seq, built_at)
    select '{{ this.name }}', l.load_seq, cast(current_timestamp as timestamp)
    from (select coalesce(max(load_seq), 0) as load_seq from {{ source('ops', 'loads') }}) as l
    where l.load_seq > coalesce(
        (select max(w.load_seq) from {{ source('ops', 'model_watermarks') }} as w where w.model = '{{ this.name }}'), -1
    )
{%- endmacro %}
