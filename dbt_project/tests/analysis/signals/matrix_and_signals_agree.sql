-- Spread out or not, a signal says the same; and a cell of the grid that a hypothesis speaks of is its signal.
with spread as (
    {%- for name in signal_names() %}
    select
        asset,
        trade_date,
        '{{ name }}' as signal,
        {{ name }}_state as state,
        {{ name }}_strength as strength,
        grid_cell
    from {{ ref('signal_matrix_daily') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    coalesce(signals.asset, spread.asset) as asset,
    coalesce(signals.trade_date, spread.trade_date) as trade_date,
    coalesce(signals.signal, spread.signal) as signal,
    signals.state,
    spread.state as spread_state,
    spread.grid_cell
from {{ ref('signals_daily') }} as signals
full join spread
    on signals.asset = spread.asset and signals.trade_date = spread.trade_date and signals.signal = spread.signal
where
    signals.state is distinct from spread.state
    or signals.strength is distinct from spread.strength
    or (
        spread.signal in ('upside_setup', 'top_risk', 'bottom_zone')
        and (spread.state = 'on') <> (spread.grid_cell = spread.signal)
    )
