{#- Bands by resampling blocks of days, the same in every build. Which correlations are judged is the marts'. -#}

{#- A number in [0, 1) out of a text, spread like chance and equal on every engine and in every build: the first four
    hexadecimal digits of its md5. A sequence with a rule of its own (a counter times a constant) would fill the
    interval too evenly, and a bootstrap drawn with it would claim too narrow a band. -#}
{% macro stats_fixed_uniform(text) -%}
    (
        {%- for place in range(4) %}
        {%- if not loop.first %} + {% endif %}
        (position(substr(md5({{ text }}), {{ place + 1 }}, 1) in '0123456789abcdef') - 1) / {{ 16 ** (place + 1) }}e0
        {%- endfor %}
    )
{%- endmacro %}

{#- A whole query: how often each of `blocks` blocks is drawn in each of `resamples` resamples of as many draws, with
    replacement. Blocks a resample leaves out have no row. -#}
{% macro stats_block_draws(resamples, blocks) %}
    select
        resample,
        block_no,
        count(*) as times
    from (
        select
            resamples.i as resample,
            cast(floor(
                {{ blocks }}
                * {{ stats_fixed_uniform("cast(resamples.i as string) || ' ' || cast(draws.i as string)") }}
            ) as int) as block_no
        from range(0, {{ resamples }}) as resamples (i)
        cross join range(0, {{ blocks }}) as draws (i)
    ) as drawn
    group by resample, block_no
{% endmacro %}
