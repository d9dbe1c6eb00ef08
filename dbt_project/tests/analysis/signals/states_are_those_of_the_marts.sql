-- Where a mart spells the state of a signal itself, the signal says the same on every day the mart has, and is unknown
-- on the days the mart has not.
{%- set spelled = {
    'oi_expansion': ('oi_trends_daily', 'expansion', none),
    'oi_expansion_confirmed': ('oi_trends_daily', 'expansion_confirmed', none),
    'bought_dip': ('oi_trends_daily', 'divergence', 'bought_dip'),
    'deleveraging': ('oi_trends_daily', 'divergence', 'deleveraging'),
    'healthy_funding': ('funding_regimes_daily', 'healthy_market', none),
    'funding_normalization': ('funding_regimes_daily', 'normalization', none),
    'capitulation': ('positioning_divergence_daily', 'capitulation', none),
    'extreme_positive_funding': ('funding_regimes_daily', 'regime', 'extreme_positive'),
    'extreme_negative_funding': ('funding_regimes_daily', 'regime', 'extreme_negative'),
    'large_liquidations': ('int_cascade_days', 'state', none),
    'long_crowded': ('positioning_divergence_daily', 'positioning_extreme', 'long_crowded'),
    'short_crowded': ('positioning_divergence_daily', 'positioning_extreme', 'short_crowded'),
} %}

with said as (
    {%- for signal, (mart, column, word) in spelled.items() %}
    select asset, trade_date, '{{ signal }}' as signal, {{ column }} as said, '{{ word or 'on' }}' as word
    from {{ ref(mart) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

spelled as (
    select
        asset,
        trade_date,
        signal,
        case when said = word then 'on' when said = 'unknown' then 'unknown' else 'off' end as state
    from said
)

select
    signals.asset,
    signals.trade_date,
    signals.signal,
    signals.state,
    spelled.state as spelled_state
from {{ ref('signals_daily') }} as signals
left join spelled
    on
        signals.asset = spelled.asset
        and signals.trade_date = spelled.trade_date
        and signals.signal = spelled.signal
where
    signals.signal in (select said.signal from said)
    and signals.state <> coalesce(spelled.state, 'unknown')
