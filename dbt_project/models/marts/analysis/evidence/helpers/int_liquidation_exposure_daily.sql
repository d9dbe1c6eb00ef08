-- Open interest by side and class of leverage: what still can be liquidated, and what of it the next day reached.
{%- set distances = liquidation_distances() %}
{%- set sides = {'long': 'low', 'short': 'high'} %}

with bars as (
    select
        *,
        lead(trade_date) over by_day as next_date,
        lead(high_usd) over by_day as next_high_usd,
        lead(low_usd) over by_day as next_low_usd,
        lead(liquidated_long_base) over by_day as next_liquidated_long_base,
        lead(liquidated_short_base) over by_day as next_liquidated_short_base,
        lead(completeness) over by_day as next_completeness,
        greatest(lead(available_at) over by_day, lead(liquidations_available_at) over by_day) as next_available_at
    from {{ ref('int_liquidation_bars_daily') }}
    window by_day as (partition by asset order by day_no)
),

followed as (
    select
        asset,
        trade_date,
        oi_base,
        close_usd,
        realized_vol_30d_daily,
        has_extremes,
        available_at,
        {%- for column in [
            'next_high_usd', 'next_low_usd', 'next_liquidated_long_base', 'next_liquidated_short_base',
            'next_completeness', 'next_available_at',
        ] %}
        case when next_date = trade_date + 1 then {{ column }} end as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from bars
),

cohorts as (
    select
        c.asset,
        c.trade_date,
        c.opened_on,
        c.entry_price_usd,
        c.low_since_usd,
        c.high_since_usd,
        c.share_of_oi,
        f.next_low_usd,
        f.next_high_usd
    from {{ ref('int_liquidation_cohorts_daily') }} as c
    inner join followed as f on c.asset = f.asset and c.trade_date = f.trade_date
),

summed as (
    select
        asset,
        trade_date,
        count(*) as cohort_days
        {%- for side, extreme in sides.items() %}
        {%- for distance in distances %}
        {%- set level = liquidation_level(side, 'entry_price_usd', number_literal(distance)) %}
        {%- set alive = is_level_alive(side, level, extreme ~ '_since_usd') %}
        {%- set reached = level ~ (' >= ' if side == 'long' else ' <= ') ~ 'next_' ~ extreme ~ '_usd' %},
        sum(case when {{ alive }} then share_of_oi else 0e0 end) as {{ side }}_alive_{{ loop.index }},
        sum(case when {{ alive }} and {{ reached }} then share_of_oi else 0e0 end)
            as {{ side }}_reached_{{ loop.index }}
        {%- endfor %}
        {%- endfor %}
    from cohorts
    group by asset, trade_date
)
{% for side, extreme in sides.items() %}
select
    f.asset,
    f.trade_date,
    '{{ side }}' as side,
    f.oi_base,
    f.close_usd,
    f.realized_vol_30d_daily,
    f.has_extremes,
    cast(s.cohort_days as int) as cohort_days,
    f.next_{{ extreme }}_usd as reached_price_usd,
    {% if side == 'long' -%}
        greatest(1 - f.next_low_usd / f.close_usd, 0e0)
    {%- else -%}
        greatest(1 - f.close_usd / f.next_high_usd, 0e0)
    {%- endif %} as reached_move,
    f.next_liquidated_{{ side }}_base as liquidated_base,
    f.next_completeness as completeness,
    {%- for distance in distances %}
    s.{{ side }}_alive_{{ loop.index }} as alive_{{ loop.index }},
    s.{{ side }}_reached_{{ loop.index }} as reached_{{ loop.index }},
    {%- endfor %}
    f.available_at,
    f.next_available_at as outcome_available_at
from followed as f
inner join summed as s on f.asset = s.asset and f.trade_date = s.trade_date
{{ 'union all' if not loop.last }}
{%- endfor %}
