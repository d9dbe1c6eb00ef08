-- Each signal has a row on each day of a mart it reads, and on every day from an asset's first to its last of them; the
-- matrix has the same days once.
{%- set marts = [
    'oi_trends_daily', 'funding_regimes_daily', 'positioning_divergence_daily', 'options_structure_daily',
    'leverage_daily', 'liquidation_comparison_daily', 'int_liquidation_zones_daily', 'int_cascade_days',
] %}

with reported_days as (
    {%- for mart in marts %}
    select asset, trade_date from {{ ref(mart) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

expected as (
    select
        asset,
        min(trade_date) as first_day,
        max(trade_date) as last_day,
        cast(extract(day from (cast(max(trade_date) as timestamp) - cast(min(trade_date) as timestamp))) as int) + 1
            as days
    from reported_days
    group by asset
),

rows_there as (
    select
        asset,
        signal,
        min(trade_date) as first_day,
        max(trade_date) as last_day,
        count(*) as days
    from {{ ref('signals_daily') }}
    group by asset, signal
    union all
    select
        asset,
        'matrix' as signal,
        min(trade_date) as first_day,
        max(trade_date) as last_day,
        count(*) as days
    from {{ ref('signal_matrix_daily') }}
    group by asset
),

names as (
    select signal from {{ ref('dim_signal') }}
    union all
    select 'matrix' as signal
),

signals_expected as (
    select
        expected.*,
        names.signal
    from expected
    cross join names
)

select
    coalesce(signals_expected.asset, rows_there.asset) as asset,
    coalesce(signals_expected.signal, rows_there.signal) as signal,
    signals_expected.days,
    rows_there.days as rows_there
from signals_expected
full join rows_there on signals_expected.asset = rows_there.asset and signals_expected.signal = rows_there.signal
where
    coalesce(signals_expected.days, 0) <> coalesce(rows_there.days, 0)
    or signals_expected.first_day <> rows_there.first_day
    or signals_expected.last_day <> rows_there.last_day
