{#- How overlapping sources are told apart, and how their completeness is compared. -#}

{#- Order in which the sources of one series and day are preferred: the more complete day, then the module's precedence,
    then the finer grain, then the name. The query provides the columns of these names. -#}
{% macro best_source_first() -%}
    day_completeness desc nulls last, precedence nulls last, period_minutes nulls last, source
{%- endmacro %}

{#- A whole query: of a table with one row per series, day, source and period, the rows of the best source of each day,
    and how complete the day is. -#}
{% macro best_source_of_day(table, series, present) %}
    with judged as (
        select
            candidate.*,
            {{ share_of_day('candidate.' ~ present, 'candidate.period_minutes') }} as day_completeness,
            ranks.precedence
        from {{ table }} as candidate
        left join {{ ref('int_source_ranks') }} as ranks on candidate.source = ranks.source
    )

    select *
    from judged
    qualify
        row_number() over (
            partition by {{ series | join(', ') }}, trade_date
            order by {{ best_source_first() }}
        ) = 1
{% endmacro %}

{#- Share of a day's periods that are there, at most 1; null where the cadence is unknown. -#}
{% macro share_of_day(present, period_minutes) -%}
    case when {{ period_minutes }} is not null then least(1e0, {{ present }} * {{ period_minutes }} / 1440e0) end
{%- endmacro %}

{#- The least complete feed among the rows of a group: sampled, then throttled, then full. -#}
{% macro worst_completeness(completeness) -%}
    case
        when bool_or({{ completeness }} = 'sampled') then 'sampled'
        when bool_or({{ completeness }} = 'throttled') then 'throttled'
        when bool_or({{ completeness }} = 'full') then 'full'
    end
{%- endmacro %}

{#- What a sum of prices rests on: the same origin throughout, mixed, or none where nothing is priced. -#}
{% macro common_price_source(price_source) -%}
    coalesce(
        case
            when
                min({{ price_source }}) filter (where {{ price_source }} <> 'none')
                = max({{ price_source }}) filter (where {{ price_source }} <> 'none')
                then min({{ price_source }}) filter (where {{ price_source }} <> 'none')
            when count(*) filter (where {{ price_source }} <> 'none') > 0 then 'mixed'
        end,
        'none'
    )
{%- endmacro %}

{#- Order in which the series of an asset, market and day give the close: complete days of the foremost venue first. -#}
{% macro best_price_first() -%}
    day_completeness desc nulls last, price_rank nulls last, volume_usd desc nulls last, venue, instrument
{%- endmacro %}
