{#- The shape every signal's rows share, and how far a percentile is past its threshold. What each signal looks at is
    signals_daily's; what it means to readers is the seed signals'. -#}

{#- Every signal, in the order of the hypotheses: what signals_daily unites and signal_matrix_daily spreads. A name here is a
    CTE of signals_daily and a row of the seed. -#}
{% macro signal_names() -%}
    {{ return([
        'oi_expansion', 'oi_expansion_confirmed', 'bought_dip', 'deleveraging', 'healthy_funding',
        'funding_normalization', 'dense_liquidation_zone', 'capitulation', 'upside_setup', 'extreme_positive_funding',
        'extreme_negative_funding', 'top_risk', 'bottom_zone', 'large_liquidations',
        'systemic_risk', 'long_crowded', 'short_crowded', 'lending_stress', 'perp_dex_stress',
    ]) }}
{%- endmacro %}

{#- A whole query: a signal on every row of the CTE `inputs`. `needs` names what the day itself must tell, each with the
    column that is null where it does not; `of` names the inputs' groups of columns that say how much of the market was
    there. A signal that is unknown although the day tells everything lacks its past, or what `otherwise` says. -#}
{% macro signal_rows(
    signal, state, value, condition, past, needs, of, threshold='null', otherwise={}, last_reason='window not full'
) %}
    {%- set graded = ['oi', 'funding', 'positioning', 'leverage', 'liquidations'] %}
    {%- set feeds = ['lending', 'perp_dex', 'liquidations'] %}
    select
        asset,
        trade_date,
        '{{ signal }}' as signal,
        {{ state }} as state,
        cast({{ value }} as double) as value,
        cast({{ threshold }} as double) as threshold,
        '{{ condition }}' as condition,
        {{ past }} as past_threshold,
        '{{ needs.keys() | join(",") }}' as inputs,
        {%- for column in needs.values() %}
        {{ '+ ' if not loop.first }}case when {{ column }} is null then 0 else 1 end
        {%- endfor %} as inputs_known,
        {{ needs | length }} as inputs_expected,
        case
            when ({{ state }}) <> 'unknown' then null
            when {{ needs.values() | join(' is null or ') }} is null
                then 'missing ' || concat_ws(
                    ', ' {%- for name, column in needs.items() %}, case when {{ column }} is null then '{{ name }}' end
                    {%- endfor %}
                )
            {%- for reason, applies in otherwise.items() %}
            when {{ applies }} then '{{ reason }}'
            {%- endfor %}
            else '{{ last_reason }}'
        end as unknown_reason,
        {{ combine_columns(of, 'venue_share', 'least') }} as venue_share,
        {{ of[0] ~ '_completeness' if of[0] in feeds else 'cast(null as string)' }} as completeness,
        {% if of[0] in graded -%}
            nullif(concat_ws(',' {%- for group in of if group in graded %}, {{ group }}_input_grain{% endfor %}), '')
        {%- else -%}
            cast(null as string)
        {%- endif %} as input_grain,
        {{ combine_columns(of, 'available_at', 'greatest') }} as available_at
    from inputs
{% endmacro %}

{#- The least or greatest of a column over groups of inputs; nulls count for nothing. -#}
{% macro combine_columns(groups, column, which) -%}
    {%- if groups | length > 1 -%}
        {{ which }}({% for group in groups %}{{ group }}_{{ column }}{{ ', ' if not loop.last }}{% endfor %})
    {%- else -%}
        {{ groups[0] }}_{{ column }}
    {%- endif -%}
{%- endmacro %}

{#- The poorer of two feeds' completeness; a feed that is not there is the poorest. -#}
{% macro least_complete(one, other) -%}
    case
        {%- for word in ['none', 'sampled', 'throttled'] %}
        when '{{ word }}' in (coalesce({{ one }}, 'none'), coalesce({{ other }}, 'none')) then '{{ word }}'
        {%- endfor %}
        else 'full'
    end
{%- endmacro %}

{#- How far a percentile is past a border: 0 up to the border, 1 at 100; null where it is not known. -#}
{% macro signal_above(percentile, border) -%}
    case
        when {{ percentile }} <= {{ border }} then 0e0
        else ({{ percentile }} - {{ border }}) / nullif(100e0 - {{ border }}, 0)
    end
{%- endmacro %}

{#- How far a percentile is below a border: 0 from the border up, 1 at 0; null where it is not known. -#}
{% macro signal_below(percentile, border) -%}
    case
        when {{ percentile }} >= {{ border }} then 0e0
        else ({{ border }} - {{ percentile }}) / nullif(cast({{ border }} as double), 0)
    end
{%- endmacro %}

{#- How far a percentile is inside the nearer of two borders: 0 outside and on them, 1 in the middle; null where not known. -#}
{% macro signal_inside(percentile, low, high) -%}
    case
        when {{ percentile }} < {{ low }} or {{ percentile }} > {{ high }} then 0e0
        else 1 - abs(2 * {{ percentile }} - {{ low }} - {{ high }}) / ({{ high }} - {{ low }})
    end
{%- endmacro %}

{#- Of two conditions that must both hold, how far the one that holds less is past its border; null where one is not known. -#}
{% macro lesser_of(one, other) -%}
    case when ({{ one }}) <= ({{ other }}) then {{ one }} when ({{ one }}) > ({{ other }}) then {{ other }} end
{%- endmacro %}

{#- The same for a value held against a level that is no percentile: both have one among the values before. A level that
    none of them reached leaves no way to measure: past it the value is the extreme itself. -#}
{% macro signal_above_level(value, level, percentile, level_percentile) -%}
    case
        when {{ level_percentile }} = 100 and {{ percentile }} is not null and {{ value }} > {{ level }} then 1e0
        else {{ signal_above(percentile, level_percentile) }}
    end
{%- endmacro %}
{% macro signal_below_level(value, level, percentile, level_percentile) -%}
    case
        when {{ level_percentile }} = 0 and {{ percentile }} is not null and {{ value }} < {{ level }} then 1e0
        else {{ signal_below(percentile, level_percentile) }}
    end
{%- endmacro %}

{#- Mid-rank, 0 to 100, of a constant among the values of a full window. -#}
{% macro signal_level_percentile(value, level, periods, window) -%}
    {{ stats_where_full(
        '100 * avg(case when ' ~ value ~ ' < ' ~ level ~ ' then 1e0 when ' ~ value ~ ' = ' ~ level
        ~ ' then 0.5e0 when ' ~ value ~ ' > ' ~ level ~ ' then 0e0 end) over ' ~ window,
        value, periods, window
    ) }}
{%- endmacro %}

{#- On, off or unknown where a mart spells a state with one of several words. -#}
{% macro signal_state_is(column, word) -%}
    case
        when coalesce({{ column }}, 'unknown') = 'unknown' then 'unknown'
        when {{ column }} = '{{ word }}' then 'on'
        else 'off'
    end
{%- endmacro %}

{#- Sign of a expected direction: a rising price and falling risk are good news, the others bad. -#}
{% macro signal_sign(direction) -%}
    case when {{ direction }} in ('up', 'risk_down') then 1 else -1 end
{%- endmacro %}

{#- A threshold as people write it, for texts: 90, 2.5, 0.000037. -#}
{% macro signal_number(name) -%}
    {%- set value = var('thresholds_in_test', {}).get(name, var('thresholds').get(name).value) -%}
    {{- (('%.6f' | format(value)).rstrip('0')).rstrip('.') -}}
{%- endmacro %}
