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

-- The pivot, a state and a strength per name. Signals speak of the price (up, down) or of risk (risk_up, risk_down); a
-- score is the mean of the known strengths of its own, plus where more of it is expected and minus where less. On a
-- grid, so that its last digits are the same in every run.
spread as (
    select
        asset,
        trade_date,
        {%- for name in names %}
        max(case when signal = '{{ name }}' then state end) as {{ name }}_state,
        max(case when signal = '{{ name }}' then strength end) as {{ name }}_strength,
        {%- endfor %}
        {{ stats_snap("avg(case when direction in ('up', 'risk_down') then strength else -strength end)") }}
            as combined_score,
        {{ stats_snap("avg(" ~ signal_sign('direction') ~ " * strength) filter (where direction in ('up', 'down'))") }}
            as price_score,
        {{ stats_snap(
            "avg(" ~ signal_sign('direction') ~ " * strength) filter (where direction in ('risk_up', 'risk_down'))"
        ) }} as risk_score,
        cast(count(strength) as int) as strengths_known,
        cast(count(strength) filter (where direction in ('up', 'down')) as int) as price_strengths_known,
        cast(count(strength) filter (where direction in ('risk_up', 'risk_down')) as int) as risk_strengths_known,
        cast(count_if(state <> 'unknown') as int) as signals_known,
        cast(count_if(state = 'on') as int) as signals_on,
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
    spread.combined_score,
    spread.price_score,
    spread.risk_score,
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
left join grid on spread.asset = grid.asset and spread.trade_date = grid.trade_date
