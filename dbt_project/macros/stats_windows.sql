{#- Statistics over the rows before the one judged. The caller's rows are dense (one per period, no gaps) and its
    window holds the N periods before the row, never the row itself; every result is null unless all N values are
    there. Not here: which statistic a mart needs, and the thresholds it is held against. -#}

{#- The frame of the N rows before the row judged. -#}
{% macro stats_rows_before(periods) -%}
    rows between {{ periods }} preceding and 1 preceding
{%- endmacro %}

{#- Any window expression, kept only where all N values are there. -#}
{% macro stats_where_full(expression, value, periods, window) -%}
    case when count({{ value }}) over {{ window }} = {{ periods }} then {{ expression }} end
{%- endmacro %}

{#- (value - mean) / sample standard deviation. Equal values have no spread; asking min and max rather than the
    deviation keeps rounding residue of the deviation from passing as one. -#}
{% macro stats_zscore(value, periods, window) -%}
    case
        when
            count({{ value }}) over {{ window }} = {{ periods }}
            and max({{ value }}) over {{ window }} > min({{ value }}) over {{ window }}
            then ({{ value }} - avg({{ value }}) over {{ window }}) / nullif(stddev_samp({{ value }}) over {{ window }}, 0)
    end
{%- endmacro %}

{#- Pearson correlation of two series over the same window; null where either does not move. -#}
{% macro stats_correlation(left_value, right_value, periods, window) -%}
    case
        when count({{ left_value }} + {{ right_value }}) over {{ window }} = {{ periods }}
            and max({{ left_value }}) over {{ window }} > min({{ left_value }}) over {{ window }}
            and max({{ right_value }}) over {{ window }} > min({{ right_value }}) over {{ window }}
            then nullif(corr({{ left_value }}, {{ right_value }}) over {{ window }}, cast('NaN' as double))
    end
{%- endmacro %}

{#- Newest known value in the frame: the portable forward fill. -#}
{% macro stats_last_known(value, order_by, window) -%}
    max_by({{ value }}, {{ order_by }}) filter (where {{ value }} is not null) over {{ window }}
{%- endmacro %}

{#- The value on a grid of 1e-12. Sums of doubles differ in their last digits from run to run; what is compared with
    ranks, ties or borders must not. Twelve decimals is a ten-thousandth of the finest rate step a venue prints. -#}
{% macro stats_snap(value) -%}
    floor(({{ value }}) * 1e12 + 0.5e0) / 1e12
{%- endmacro %}

{#- The same for amounts in coins, on a grid of 1e-6: 1e-12 is below the last digit of a double of millions, and on Spark, whose
    floor of a double is a bigint, everything above 9.2e6 would be one and the same. -#}
{% macro stats_snap_amount(value) -%}
    floor(({{ value }}) * 1e6 + 0.5e0) / 1e6
{%- endmacro %}

{#- Linear-interpolation quantile over any frame. -#}
{% macro stats_rolling_quantile(value, quantile, window) -%}
    {{ return(adapter.dispatch('stats_rolling_quantile', 'leverhouse')(value, quantile, window)) }}
{%- endmacro %}
{% macro default__stats_rolling_quantile(value, quantile, window) -%}
    quantile_cont({{ value }}, {{ quantile }}) over {{ window }}
{%- endmacro %}
{% macro spark__stats_rolling_quantile(value, quantile, window) -%}
    percentile({{ value }}, {{ quantile }}) over {{ window }}
{%- endmacro %}

{#- A whole query: keys, order_by and `percentile`, the mid-rank (0 to 100) of each row's value among the values of
    the N rows before it in its partition: (count below + half the count equal) / N. -#}
{% macro stats_midrank(relation, keys, order_by, value, periods) -%}
    {{ return(adapter.dispatch('stats_midrank', 'leverhouse')(relation, keys, order_by, value, periods)) }}
{%- endmacro %}

{#- Portable: every row's window as an array, unnested and counted. -#}
{% macro default__stats_midrank(relation, keys, order_by, value, periods) %}
    select
        listed.{{ keys | join(', listed.') }},
        listed.{{ order_by }},
        100 * avg(
            case when member.v < listed.judged then 1e0 when member.v = listed.judged then 0.5e0 else 0e0 end
        ) as percentile
    from (
        select
            {{ keys | join(', ') }},
            {{ order_by }},
            {{ value }} as judged,
            array_agg({{ value }}) over before as earlier,
            count({{ value }}) over before as known
        from {{ relation }}
        window before as (partition by {{ keys | join(', ') }} order by {{ order_by }} {{ stats_rows_before(periods) }})
    ) as listed
    cross join lateral unnest(listed.earlier) as member (v)
    where listed.known = {{ periods }} and listed.judged is not null
    group by listed.{{ keys | join(', listed.') }}, listed.{{ order_by }}
{% endmacro %}

{#- DuckDB ranks inside a frame without writing the windows out: 0.4 s against 6.3 s for 219,000 rows and 365 days.
    Ranked with the row itself in the frame, its rank less one is the count below (above, when descending). -#}
{% macro duckdb__stats_midrank(relation, keys, order_by, value, periods) %}
    select
        {{ keys | join(', ') }},
        {{ order_by }},
        100 * ((below + 0.5e0 * ({{ periods }} - below - above)) / {{ periods }}) as percentile
    from (
        select
            {{ keys | join(', ') }},
            {{ order_by }},
            {{ value }} as judged,
            count({{ value }}) over through_today as known,
            rank(order by {{ value }} nulls last) over through_today - 1 as below,
            rank(order by {{ value }} desc nulls last) over through_today - 1 as above
        from {{ relation }}
        window through_today as (
            partition by {{ keys | join(', ') }} order by {{ order_by }} rows between {{ periods }} preceding and current row
        )
    ) as ranked
    where known = {{ periods }} + 1 and judged is not null
{% endmacro %}
