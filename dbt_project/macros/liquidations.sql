{#- Price bins, colors and borders of the liquidation models. Thresholds stand in dbt_project.yml. -#}

{#- Number of the bin that holds a price: floor(ln(P / P_ref) / ln(1 + b)). Bin k is [P_ref (1+b)^k, P_ref (1+b)^(k+1)). The
    logarithm of a price on an edge may end a digit short of it, so a billionth of a bin is given away at the lower edge. -#}
{% macro liquidation_bin(price_usd) -%}
    cast(floor(
        ln({{ price_usd }} / {{ threshold('price_reference_usd') }}) / ln(1 + {{ threshold('heatmap_bin_width') }}) + 1e-9
    ) as int)
{%- endmacro %}

{#- Lower edge of a bin in US dollars; the upper edge is the next bin's lower one. -#}
{% macro liquidation_bin_low(bin_no) -%}
    {{ threshold('price_reference_usd') }} * power(1 + {{ threshold('heatmap_bin_width') }}, {{ bin_no }})
{%- endmacro %}

{#- Signed distance from the close to a span of prices as a fraction of the close: positive above it, 0 inside. -#}
{% macro liquidation_distance(low_usd, high_usd, close_usd) -%}
    case
        when {{ low_usd }} > {{ close_usd }} then {{ low_usd }} / {{ close_usd }} - 1
        when {{ high_usd }} <= {{ close_usd }} then {{ high_usd }} / {{ close_usd }} - 1
        when {{ close_usd }} is not null then 0e0
    end
{%- endmacro %}

{#- Dollars on a grid of a millionth, for ranks and borders: sums of doubles differ in their last digits from run to run. -#}
{% macro liquidation_snap(usd) -%}
    floor(({{ usd }}) * 1e6 + 0.5e0) / 1e6
{%- endmacro %}

{#- The four kinds of liquidations that are never added up: positions by their notional, on exchanges and on perp DEXes, and loans
    by what is seized and by what is repaid. Null for a measure that its kind of venue does not have. -#}
{% macro liquidation_kind(venue_kind, measure) -%}
    case
        when {{ venue_kind }} = 'cex' and {{ measure }} = 'position_notional' then 'exchange'
        when {{ venue_kind }} = 'perp_dex' and {{ measure }} = 'position_notional' then 'perp_dex'
        when {{ venue_kind }} = 'lending' and {{ measure }} = 'collateral_seized' then 'lending_collateral'
        when {{ venue_kind }} = 'lending' and {{ measure }} = 'debt_repaid' then 'lending_debt'
    end
{%- endmacro %}

{#- A whole query: the names of liquidation_kind. -#}
{% macro liquidation_kinds() %}
    select 'exchange' as kind
    union all
    select 'perp_dex' as kind
    union all
    select 'lending_collateral' as kind
    union all
    select 'lending_debt' as kind
{% endmacro %}

{#- What a group of liquidations is worth in US dollars: those without a price of their own take the close of their day. Null
    where none of them has a price. -#}
{% macro liquidation_value(notional_usd, unpriced_events, unpriced_base, close_usd) -%}
    case
        when {{ unpriced_events }} > 0 and {{ close_usd }} is not null
            then coalesce({{ notional_usd }}, 0) + {{ unpriced_base }} * {{ close_usd }}
        else {{ notional_usd }}
    end
{%- endmacro %}

{#- A whole query: totals taken apart, one row per side, each with what is stated of it. What a total holds beyond its two
    sides is of unknown side; below 0 it is rounding. -#}
{% macro liquidation_sides(totals) %}
    select
        *,
        'long' as side,
        long_base as quantity_base,
        long_usd as stated_usd
    from {{ totals }}
    where long_base is not null or long_usd is not null
    union all
    select
        *,
        'short' as side,
        short_base as quantity_base,
        short_usd as stated_usd
    from {{ totals }}
    where short_base is not null or short_usd is not null
    union all
    select
        *,
        'unknown' as side,
        cast(null as double) as quantity_base,
        greatest(total_usd - coalesce(long_usd, 0) - coalesce(short_usd, 0), 0e0) as stated_usd
    from {{ totals }}
    where total_usd is not null
{% endmacro %}

{#- What a side of a total is worth in US dollars: what is stated, else its quantity at the close of the day. -#}
{% macro liquidation_side_value(stated_usd, quantity_base, close_usd) -%}
    coalesce({{ stated_usd }}, case when {{ quantity_base }} = 0 then 0e0 end, {{ quantity_base }} * {{ close_usd }})
{%- endmacro %}

{#- The color of a value in [0, 1] as #rrggbb: nine equally spaced colors from dark purple, which is read as empty, to bright
    yellow, with straight lines between them. Its lightness rises all the way, also in gray and for color-blind readers. The
    report draws with the same stops (static/app/theme.js); a test compares. -#}
{% macro liquidation_color(value) -%}
    {%- set stops = liquidation_color_stops() -%}
    {%- set steps = (stops | length - 1) -%}
    '#'
    {%- for channel in range(3) %}
    || lpad(lower(hex(cast(floor(
        case
        {%- for step in range(steps) %}
            {%- set low, high = stops[step][channel], stops[step + 1][channel] %}
            {{ 'when ' ~ value ~ ' < ' ~ (step + 1) / steps ~ 'e0 then' if not loop.last else 'else' }}
                {{ low }} + ({{ value }} - {{ step / steps }}e0) * {{ (high - low) * steps }}
        {%- endfor %}
        end + 0.5e0
    ) as bigint))), 2, '0')
    {%- endfor %}
{%- endmacro %}

{% macro liquidation_color_stops() -%}
    {{ return([
        [74, 28, 140], [106, 31, 160], [139, 42, 159], [173, 58, 142], [203, 79, 119],
        [228, 107, 93], [245, 143, 67], [252, 187, 53], [247, 238, 90],
    ]) }}
{%- endmacro %}

{#- The last instant of the price grid of cascades at or before an instant. -#}
{% macro cascade_mark_at(instant) -%}
    cast(
        date_trunc('hour', {{ instant }}) + cast(
            floor(extract(minute from {{ instant }}) / cast({{ threshold('cascade_mark_minutes') }} as double)) as int
        ) * {{ threshold('cascade_mark_minutes') }} * interval '1' minute as timestamp
    )
{%- endmacro %}
