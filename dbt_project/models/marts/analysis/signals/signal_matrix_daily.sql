-- signals_daily spread out: a state and a strength per signal, and what they say together. Nothing is judged here.
{%- set names = signal_names() %}

with signals as (
    select * from {{ ref('signals_daily') }}
),

-- Where open interest and funding stand on their grid, whether or not a signal looks at the cell.
grid as (
    select asset, trade_date, grid_cell, oi_zscore_90d_percentile, excess_rate_percentile_90d
    from {{ ref('int_signal_inputs_daily') }}
),

-- Which signals speak of the price; the others speak of risk.
halves as (
    select
        {%- for name in names %}
        bool_or(signal = '{{ name }}' and direction in ('up', 'down')) as {{ name }}_is_price{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('dim_signal') }}
),

spread as (
    select
        asset,
        trade_date,
        {%- for name in names %}
        max(case when signal = '{{ name }}' then state end) as {{ name }}_state,
        max(case when signal = '{{ name }}' then strength end) as {{ name }}_strength,
        {%- endfor %}
        cast(count_if(state <> 'unknown') as int) as signals_known,
        cast(count_if(state = 'on') as int) as signals_on,
        cast(count(strength) as int) as strengths_known,
        cast(count(case when direction in ('up', 'down') then strength end) as int) as price_strengths_known,
        cast(count(case when direction in ('risk_up', 'risk_down') then strength end) as int) as risk_strengths_known,
        max(available_at) as available_at
    from signals
    group by asset, trade_date
)

select
    spread.asset,
    spread.trade_date,
    {%- for name in names %}
    spread.{{ name }}_state,
    spread.{{ name }}_strength,
    {%- endfor %}
    grid.grid_cell,
    grid.oi_zscore_90d_percentile,
    grid.excess_rate_percentile_90d,
    -- Summed in the order of the hypotheses, so that the last digits are the same in every run.
    {%- for score, known, half in [
        ('combined_score', 'strengths_known', none),
        ('price_score', 'price_strengths_known', ''),
        ('risk_score', 'risk_strengths_known', 'not '),
    ] %}
    (
        {%- for name in names %}
        {{ '+ ' if not loop.first }}
        {%- if half is none %}coalesce(spread.{{ name }}_strength, 0e0)
        {%- else %}coalesce(case when {{ half }}halves.{{ name }}_is_price then spread.{{ name }}_strength end, 0e0)
        {%- endif %}
        {%- endfor %}
    ) / nullif(spread.{{ known }}, 0) as {{ score }},
    {%- endfor %}
    spread.strengths_known,
    spread.price_strengths_known,
    spread.risk_strengths_known,
    spread.signals_known,
    spread.signals_on,
    {{ names | length }} as signals_expected,
    nullif(
        concat_ws(
            ','
            {%- for name in names %},
            case when spread.{{ name }}_strength is not null then '{{ name }}' end
            {%- endfor %}
        ), ''
    ) as score_inputs,
    spread.available_at
from spread
cross join halves
left join grid on spread.asset = grid.asset and spread.trade_date = grid.trade_date
