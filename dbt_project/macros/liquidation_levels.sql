{#- Classes of leverage as columns. The seed liquidation_classes holds the same distances with their weights; a test compares. -#}

{#- Distance of each class, in order. -#}
{% macro liquidation_distances() -%}
    {{ return([0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.14, 0.2, 0.3, 0.45]) }}
{%- endmacro %}

{#- Price at which a position entered at `price` is liquidated. -#}
{% macro liquidation_level(side, price, distance) -%}
    {%- if side == 'long' -%} {{ price }} * (1 - {{ distance }}) {%- else -%} {{ price }} / (1 - {{ distance }}) {%- endif -%}
{%- endmacro %}

{#- Whether that price has not been reached since the entry; `extreme` is null on the day of the entry. -#}
{% macro is_level_alive(side, level, extreme) -%}
    {%- if side == 'long' -%}
        {{ level }} < coalesce({{ extreme }}, {{ level }} + 1)
    {%- else -%}
        {{ level }} > coalesce({{ extreme }}, 0)
    {%- endif -%}
{%- endmacro %}

{#- What an interval of skill says. -#}
{% macro liquidation_skill_verdict() -%}
    case
        when skill_days < {{ threshold('levels_skill_days_min') }} or skill_low is null then 'too_few_days'
        when skill_low > 0 then 'better'
        when skill_high < 0 then 'worse'
        else 'not_distinguishable'
    end
{%- endmacro %}

{#- The bin of a price: bins are fixed for good, each a constant ratio wide. -#}
{% macro level_bin(price) -%}
    cast(floor(ln({{ price }}) / ln({{ threshold('levels_bin_base') }})) as int)
{%- endmacro %}

{#- How far the middle of a bin is from the close, in the direction of its side: of a bin `b` and its day `d`. -#}
{% macro near_edge() -%}
    case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln({{ threshold('levels_bin_base') }})) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln({{ threshold('levels_bin_base') }}))
    end
{%- endmacro %}
