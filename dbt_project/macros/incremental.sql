{#- Incremental models by loaded day (models/intermediate/by_source).

    The affected days of a model are the days of the clean tables it reads that ops.loads saw with a load_seq above the
    model's watermark in ops.model_watermarks. They are deleted first (so a day that lost all its rows loses them here
    too) and built again; the watermark is written last. All of it is one transaction: a killed build leaves the model as
    it was. A full refresh starts from nothing. Spark's way, without
    transactions, is in incremental_spark.sql. -#}

{#- Which clean tables an incremental model reads: `same_day` change their own day, `next_day` also the day after (a
    price may value an event up to 24 hours later), `every_day` change everything. A model that
    follows_registry is also built again whole when int_tokens knows a token that it could not name or scale. Written here and
    not in the models' meta, because a unit test does not see its model's meta. -#}
{% macro reads_of(model_name) -%}
    {%- set reads = {
        'int_candles_by_source': {'same_day': ['candles']},
        'int_open_interest_by_source': {'same_day': ['open_interest']},
        'int_long_short_by_source': {'same_day': ['long_short_ratios']},
        'int_liquidation_events_by_source': {'same_day': ['liquidations']},
        'int_liquidation_totals_by_source': {'same_day': ['liquidation_totals']},
        'int_option_chain_by_source': {'same_day': ['option_chain']},
        'int_liquidation_minutes_by_source': {'same_day': ['liquidations']},
        'int_liquidation_bins_by_source': {'same_day': ['liquidations'], 'every_day': ['instruments']},
        'int_liquidation_distances_by_source': {'same_day': ['liquidations'], 'every_day': ['instruments']},
        'int_candle_marks_by_source': {'same_day': ['candles']},
        'int_liquidation_events_by_source_hourly': {'same_day': ['liquidations']},
        'int_liquidation_totals_by_source_hourly': {'same_day': ['liquidation_totals']},
        'int_volatility_index_by_source': {'same_day': ['volatility_index']},
        'int_lending_bad_debt_by_source': {
            'same_day': ['lending_bad_debt', 'tokens'],
            'next_day': ['candles', 'token_prices'],
            'every_day': ['instruments'],
            'follows_registry': true,
        },
        'int_lending_legs_by_source': {
            'same_day': ['lending_liquidations', 'tokens'],
            'next_day': ['candles', 'token_prices'],
            'every_day': ['instruments'],
            'follows_registry': true,
        },
    } -%}
    {%- if model_name not in reads -%}
        {{ exceptions.raise_compiler_error(
            model_name ~ " is incremental, but reads_of() in macros/incremental.sql does not say which clean tables it reads"
        ) }}
    {%- endif -%}
    {{ return(reads[model_name]) }}
{%- endmacro %}

{#- Condition under which a row of `day` has to be built again; true for everything in a full build. -#}
{% macro needs_rebuild(model_name, day) -%}
    {%- if not is_incremental() -%}
    true
    {%- else -%}
    {{- adapter.dispatch('rebuild_condition', 'leverhouse')(model_name, day) -}}
    {%- endif -%}
{%- endmacro %}

{% macro default__rebuild_condition(model_name, day) -%}
    ({{ day }} in ({{ affected_days(model_name) }}) or {{ needs_full_rebuild(model_name) }})
{%- endmacro %}

{% macro affected_days(model_name) -%}
    {%- set reads = reads_of(model_name) -%}
    select l.trade_date
    from {{ source('ops', 'loads') }} as l
    where {{ loaded_since_watermark(model_name, reads.same_day + reads.get('next_day', [])) }}
        and l.trade_date is not null
    {%- if reads.next_day %}
    union
    select cast(l.trade_date + interval '1' day as date)
    from {{ source('ops', 'loads') }} as l
    where {{ loaded_since_watermark(model_name, reads.next_day) }}
        and l.trade_date is not null
    {%- endif -%}
{%- endmacro %}

{% macro needs_full_rebuild(model_name) -%}
    {%- set reads = reads_of(model_name) -%}
    {%- if reads.every_day -%}
    exists (select 1 from {{ source('ops', 'loads') }} as l where {{ loaded_since_watermark(model_name, reads.every_day) }})
    {%- else -%}
    false
    {%- endif -%}
    {%- if reads.follows_registry %}
    or exists (
        select 1
        from {{ this }} as l
        inner join {{ ref('int_tokens') }} as r
            on l.chain = r.chain and (l.token = r.token or (r.is_registered and l.token = lower(r.symbol)))
        where
            r.underlying_token is null
            and (
                (r.asset is not null and (l.asset is null or l.asset <> r.asset))
                or (l.price_source = 'none' and l.amount is null and r.decimals is not null)
            )
    )
    {%- endif -%}
{%- endmacro %}

{% macro loaded_since_watermark(model_name, tables) -%}
    l.table_name in ('{{ tables | join("', '") }}')
        and l.load_seq > {{ adapter.dispatch('watermark', 'leverhouse')(model_name) }}
{%- endmacro %}

{#- The load_seq up to which a model has read. -#}
{% macro default__watermark(model_name) -%}
    coalesce(
            (select max(w.load_seq) from {{ source('ops', 'model_watermarks') }} as w where w.model = '{{ model_name }}'),
            0
        )
{%- endmacro %}

{#- Hooks of the folder, see dbt_project.yml. -#}
{% macro delete_stale_partitions() -%}
    {%- if is_incremental() -%}
    {{- adapter.dispatch('delete_stale_days', 'leverhouse')(this) -}}
    {%- endif -%}
{%- endmacro %}

{% macro default__delete_stale_days(relation) -%}
    delete from {{ relation }} where {{ needs_rebuild(relation.name, 'trade_date') }}
{%- endmacro %}

{% macro save_watermark() -%}
    {{- adapter.dispatch('keep_watermark', 'leverhouse')(this) -}}
{%- endmacro %}

{% macro default__keep_watermark(relation) -%}
    insert into {{ source('ops', 'model_watermarks') }} (model, load_seq, built_at)
    select '{{ relation.name }}', l.load_seq, cast(current_timestamp as timestamp)
    from (select coalesce(max(load_seq), 0) as load_seq from {{ source('ops', 'loads') }}) as l
    where l.load_seq > coalesce(
        (select max(w.load_seq) from {{ source('ops', 'model_watermarks') }} as w where w.model = '{{ relation.name }}'),
        -1
    )
{%- endmacro %}
