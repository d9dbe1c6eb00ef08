{#- Signals: their conditions as SQL and as text, the shape their rows share, and how far a value is past its threshold.
    When a signal is on is defined once, in vars: signals: of dbt_project.yml; nothing here knows a signal by name. -#}

{#- Every signal, in the order of the hypotheses: what signals_daily unites and signal_matrix_daily spreads. A name here is a
    CTE of signals_daily and a row of the seed. -#}
{% macro signal_names() -%}
    {{ return(var('signals').keys() | list) }}
{%- endmacro %}

{#- The comparisons of a signal, as dbt_project.yml lists them. -#}
{% macro signal_comparisons(signal) -%}
    {%- set definition = var('signals').get(signal) -%}
    {%- if definition is none -%}
        {{ exceptions.raise_compiler_error("no signal " ~ signal ~ " in dbt_project.yml; add it under vars: signals:") }}
    {%- endif -%}
    {{ return(definition.get('all', definition.get('any'))) }}
{%- endmacro %}

{#- The comparison of a signal that is about this measure, the first if there are several. -#}
{% macro signal_comparison_of(signal, measure) -%}
    {%- for comparison in signal_comparisons(signal) if comparison[0] == measure -%}
        {{ return(comparison) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error("signal " ~ signal ~ " compares no " ~ measure ~ "; see vars: signals: in dbt_project.yml") }}
{%- endmacro %}

{#- What a comparison's measure is held against. A multiple of a measure is snapped, as the measures themselves are: a value on
    the border is on it in every run. -#}
{% macro signal_border_sql(comparison, relation='') -%}
    {%- set border = comparison[2] | string -%}
    {%- set minus = '-' if border.startswith('-') else '' -%}
    {%- set name = border.removeprefix('-') -%}
    {%- set columns = relation ~ '.' if relation else '' -%}
    {%- if comparison | length > 3 -%}
        {{ minus }}{{ stats_snap(threshold(name) ~ ' * ' ~ columns ~ comparison[3]) }}
    {%- elif name in var('signal_measures') -%}
        {{ columns ~ name }}
    {%- elif comparison[2] is number -%}
        {{ border }}
    {%- else -%}
        {{ minus ~ threshold(name) }}
    {%- endif -%}
{%- endmacro %}

{#- A comparison as a condition on the columns of a relation, or of the only one there is. -#}
{% macro signal_comparison_sql(comparison, relation='') -%}
    {%- set column = (relation ~ '.' if relation else '') ~ comparison[0] -%}
    {%- if comparison | length == 1 -%}
        {{ column }}
    {%- elif comparison[1] in ('is', 'is not') -%}
        {{ column }} {{ '=' if comparison[1] == 'is' else '<>' }} '{{ comparison[2] }}'
    {%- else -%}
        {{ column }} {{ comparison[1] }} {{ signal_border_sql(comparison, relation) }}
    {%- endif -%}
{%- endmacro %}

{#- One comparison of a signal, by its measure. -#}
{% macro signal_comparison(signal, measure, relation='') -%}
    {{ signal_comparison_sql(signal_comparison_of(signal, measure), relation) }}
{%- endmacro %}

{#- The whole condition of a signal. -#}
{% macro signal_condition(signal, relation='') -%}
    {%- for comparison in signal_comparisons(signal) -%}
        {{ '' if loop.first else (' and ' if 'all' in var('signals')[signal] else ' or ') }}
        {{- signal_comparison_sql(comparison, relation) }}
    {%- endfor -%}
{%- endmacro %}

{#- on or off by that condition, and unknown where a column of it or one of `also_known` is missing. -#}
{% macro signal_state(signal, relation='', also_known=[]) -%}
    {%- set columns = [] -%}
    {%- for comparison in signal_comparisons(signal) -%}
        {%- for column in comparison[:1] + comparison[2:] if column in var('signal_measures') -%}
            {%- do columns.append((relation ~ '.' if relation else '') ~ column) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ stats_state(signal_condition(signal, relation), columns | unique | list + also_known) }}
{%- endmacro %}

{#- Whether an extreme that is on is still held, by the furthest of its last percentiles. -#}
{% macro signal_is_held(signal, furthest) -%}
    {%- set held = var('signals')[signal].held_while -%}
    {{ signal_comparison_sql([furthest, held[1], held[2]]) }}
{%- endmacro %}

{#- The threshold that signals_daily shows. -#}
{% macro signal_threshold(signal) -%}
    {%- set comparison = signal_comparisons(signal)[0] -%}
    {%- if var('signals')[signal].get('band') -%}
        null
    {%- elif comparison | length > 3 -%}
        {{ signal_border_sql(comparison[:3]) }}
    {%- else -%}
        {{ signal_border_sql(comparison) }}
    {%- endif -%}
{%- endmacro %}

{#- The condition of a signal as text, with its numbers: `>=` between measure and border, or what it means in words. -#}
{% macro signal_text(signal, operators={}) -%}
    {%- set definition = var('signals')[signal] -%}
    {%- set said = [] -%}
    {%- for comparison in signal_comparisons(signal) -%}
        {%- do said.append(signal_comparison_text(comparison, operators)) -%}
    {%- endfor -%}
    {{- said | join(', and ' if 'all' in definition else ', or ') -}}
    {%- if definition.get('in_a_row') -%}
        {%- set times = signal_number(definition.in_a_row) -%}
        , {{ times }} times in a row; it ends when another regime comes {{ times }} times in a row and none of them has
        {#- #} {{ signal_comparison_text(definition.held_while, {}) -}}
    {%- endif -%}
{%- endmacro %}

{#- The same in words, as a sentence. -#}
{% macro signal_sentence(signal) -%}
    {%- set text = signal_text(signal, {'>=': 'is at least', '<=': 'is at most', '>': 'is above', '<': 'is below'}) -%}
    {{- text[0] | upper ~ text[1:] -}}
{%- endmacro %}

{% macro signal_comparison_text(comparison, operators) -%}
    {{- signal_measure_text(comparison[0]) -}}
    {%- if comparison | length > 1 -%}
        {%- set border = comparison[2] | string -%}
        {%- set name = border.removeprefix('-') -%}
        {#- #} {{ operators.get(comparison[1], comparison[1]) ~ ' ' -}}
        {%- if name in var('signal_measures') -%}
            {{- signal_measure_text(name) -}}
        {%- elif name in var('thresholds') -%}
            {{- '-' if border.startswith('-') }}{{ signal_number(name) -}}
        {%- else -%}
            {{- border -}}
        {%- endif -%}
        {{- ' ' ~ signal_measure_text(comparison[3]) if comparison | length > 3 -}}
    {%- endif -%}
{%- endmacro %}

{#- A measure in words, with the numbers of the thresholds it names. -#}
{% macro signal_measure_text(measure) -%}
    {%- set built = namespace(text=var('signal_measures')[measure]) -%}
    {%- for name in var('thresholds') if '{' ~ name ~ '}' in built.text -%}
        {%- set built.text = built.text.replace('{' ~ name ~ '}', signal_number(name)) -%}
    {%- endfor -%}
    {{- built.text -}}
{%- endmacro %}

{#- A threshold as people write it, for texts: 90, 2.5, 0.000037. -#}
{% macro signal_number(name) -%}
    {%- set value = var('thresholds_in_test', {}).get(name, var('thresholds').get(name).value) -%}
    {{- (('%.6f' | format(value)).rstrip('0')).rstrip('.') -}}
{%- endmacro %}

{#- A whole query: a signal on every row of the CTE `inputs`. `needs` names what the day itself must tell, each with the
    column that is null where it does not; `of` names the inputs' groups of columns that say how much of the market was
    there. A signal that is unknown although the day tells everything lacks its past, or what `otherwise` says. -#}
{% macro signal_rows(
    signal, state, value, past, needs, of, otherwise={}, last_reason='window not full'
) %}
    {%- set graded = ['oi', 'funding', 'positioning', 'leverage', 'liquidations'] %}
    {%- set feeds = ['lending', 'perp_dex', 'liquidations'] %}
    select
        asset,
        trade_date,
        '{{ signal }}' as signal,
        {{ state }} as state,
        cast({{ value }} as double) as value,
        cast({{ signal_threshold(signal) }} as double) as threshold,
        '{{ signal_text(signal) }}' as condition,
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

{#- How far a signal's percentiles are past the borders of its own comparisons, or of what holds it once it is on: of two, the one
    that is less far. -#}
{% macro signal_past(signal, percentiles) -%}
    {%- set pasts = [] -%}
    {%- for percentile in percentiles -%}
        {%- set comparison = signal_comparison_of(signal, percentile) -%}
        {%- set held = var('signals')[signal].get('held_while', [none]) -%}
        {%- set border = signal_border_sql(held if held[0] == percentile else comparison) -%}
        {%- do pasts.append(
            signal_above(percentile, border) if comparison[1] == '>=' else signal_below(percentile, border)
        ) -%}
    {%- endfor -%}
    {{ pasts[0] if pasts | length == 1 else lesser_of(pasts[0], pasts[1]) }}
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

{#- The same for a value that is no percentile: the share of it that is past its border. 0 up to the border, a half at twice the
    border, towards 1 beyond; it never levels off, so that of two extremes the larger one is ahead. -#}
{% macro signal_past_level(signal, value, border=none) -%}
    {%- set level = border or signal_threshold(signal) -%}
    {%- set is_above = signal_comparisons(signal)[0][1] in ('>', '>=') -%}
    case when {{ value }} {{ '>' if is_above else '<' }} {{ level }} then 1 - {{ level }} / {{ value }} else 0e0 end
{%- endmacro %}

{#- On, off or unknown where a mart spells a state with one of several words. -#}
{% macro signal_state_is(column, words) -%}
    case
        when coalesce({{ column }}, 'unknown') = 'unknown' then 'unknown'
        when {{ column }} in ('{{ words | join("', '") }}') then 'on'
        else 'off'
    end
{%- endmacro %}

{#- Sign of an expected direction: whether more of its subject, the price or risk, is expected or less. -#}
{% macro signal_sign(direction) -%}
    case when {{ direction }} in ('up', 'risk_up') then 1 else -1 end
{%- endmacro %}

{#- An aggregate over the days after the entry of signal_outcomes; null unless all of them are known. -#}
{% macro outcome_of(aggregate, known) -%}
    case
        when count(case when days.trade_date > entries.entry_date then {{ known }} end) = horizons.horizon_days
            then {{ aggregate }} filter (where days.trade_date > entries.entry_date)
    end
{%- endmacro %}
