-- Where a mart spells a belief's state itself, its signal says the same on every day the mart has, and is unknown on
-- the days the mart has not.
{%- set spelled = {
    'b01_expansion': ('oi_trends_daily', 'expansion', none),
    'b02_confirmed_expansion': ('oi_trends_daily', 'expansion_confirmed', none),
    'b03_bought_dip': ('oi_trends_daily', 'divergence', 'bought_dip'),
    'b03_deleveraging': ('oi_trends_daily', 'divergence', 'deleveraging'),
    'b04_healthy_funding': ('funding_regimes_daily', 'healthy_market', none),
    'b05_normalisation': ('funding_regimes_daily', 'normalisation', none),
    'b08_capitulation': ('positioning_divergence_daily', 'capitulation', none),
    'b10_extreme_positive_funding': ('funding_regimes_daily', 'regime', 'extreme_positive'),
    'b10_extreme_negative_funding': ('funding_regimes_daily', 'regime', 'extreme_negative'),
    'b12_large_liquidations': ('int_cascade_days', 'state', none),
    'b14_long_crowded': ('positioning_divergence_daily', 'positioning_extreme', 'long_crowded'),
    'b14_short_crowded': ('positioning_divergence_daily', 'positioning_extreme', 'short_crowded'),
} %}

with said as (
    {%- for signal, (mart, column, word) in spelled.items() %}
    select asset, trade_date, '{{ signal }}' as signal, {{ column }} as said, '{{ word or 'on' }}' as word
    from {{ ref(mart) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

spelled as (
    select asset, trade_date, signal, case when said in ('unknown', word) then said else 'off' end as said, word
    from said
)

select
    signals.asset,
    signals.trade_date,
    signals.signal,
    signals.state,
    spelled.said
from {{ ref('signals_daily') }} as signals
left join spelled
    on
        signals.asset = spelled.asset
        and signals.trade_date = spelled.trade_date
        and signals.signal = spelled.signal
where
    signals.signal in ('{{ spelled.keys() | join("', '") }}')
    and signals.state
    <> case when spelled.said = spelled.word then 'on' else coalesce(spelled.said, 'unknown') end
