-- Each hypothesis on what a day shows: one CTE per signal, in the order of dbt_project.yml, where its condition stands
-- (vars: signals:). Measures and states come from the marts by way of int_signal_inputs_daily; what a signal is
-- expected to announce is the seed's.

with inputs as (
    select * from {{ ref('int_signal_inputs_daily') }}
),

oi_expansion as (
    {{ signal_rows(
        'oi_expansion',
        state='expansion',
        value='oi_growth_1d',
        past=signal_past_level('oi_expansion', 'oi_growth_1d'),
        needs={'open interest': 'oi_base_reported', 'price': 'close_usd'},
        otherwise={'too few venues compared': 'oi_compared_share_1d < ' ~ threshold('oi_comparable_share_min')},
        of=['oi'],
    ) }}
),

oi_expansion_confirmed as (
    {{ signal_rows(
        'oi_expansion_confirmed',
        state='expansion_confirmed',
        value='volume_base',
        past=signal_past_level('oi_expansion_confirmed', 'volume_base', 'volume_high_30d'),
        needs={'open interest': 'oi_base_reported', 'price': 'close_usd', 'volume': 'volume_base'},
        otherwise={'too few venues compared': 'oi_compared_share_1d < ' ~ threshold('oi_comparable_share_min')},
        last_reason='window not full or its venues changed',
        of=['oi'],
    ) }}
),

bought_dip as (
    {{ signal_rows(
        'bought_dip',
        state=signal_state_is('divergence', ['bought_dip']),
        value='oi_change_sigmas',
        past=signal_past_level('bought_dip', 'oi_change_sigmas'),
        needs={'open interest': 'oi_base_reported', 'price': 'close_usd'},
        otherwise={'too few venues compared': 'oi_compared_share_1d < ' ~ threshold('oi_comparable_share_min')},
        of=['oi'],
    ) }}
),

deleveraging as (
    {{ signal_rows(
        'deleveraging',
        state=signal_state_is('divergence', ['deleveraging']),
        value='oi_change_sigmas',
        past=signal_past_level('deleveraging', 'oi_change_sigmas'),
        needs={'open interest': 'oi_base_reported', 'price': 'close_usd'},
        otherwise={'too few venues compared': 'oi_compared_share_1d < ' ~ threshold('oi_comparable_share_min')},
        of=['oi'],
    ) }}
),

healthy_funding as (
    {{ signal_rows(
        'healthy_funding',
        state='healthy_market',
        value='rate_8h_mean_7d',
        past=signal_below('rate_8h_sd_30d_percentile', '100 * ' ~ threshold('healthy_sd_quantile')),
        needs={'funding': 'coalesce(rate_8h, rate_8h_mean_7d)'},
        of=['funding'],
    ) }}
),

funding_normalization as (
    {{ signal_rows(
        'funding_normalization',
        state='normalization',
        value='excess_rate_percentile_90d',
        past=signal_inside(
            'excess_rate_percentile_90d', threshold('funding_depressed_percentile'), threshold('funding_elevated_percentile')
        ),
        needs={'funding': 'excess_rate_8h_at_close'},
        of=['funding'],
    ) }}
),

dense_liquidation_zone as (
    {{ signal_rows(
        'dense_liquidation_zone',
        state=signal_state_is('zone_state', ['inside', 'near']),
        value='zone_distance',
        past="case when zone_state in ('inside', 'near') then 1 - zone_distance / " ~ threshold('zone_near_distance')
        ~ ' else 0e0 end',
        needs={'liquidations': 'zone_days_known', 'price': 'zone_close_usd'},
        of=['liquidations', 'zones'],
    ) }}
),

capitulation as (
    {{ signal_rows(
        'capitulation',
        state='capitulation',
        value='put_call_oi_percentile_90d',
        past=signal_past('capitulation', ['put_call_oi_percentile_90d', 'account_long_share_percentile_90d']),
        needs={'options': 'put_call_oi_ratio', 'long/short ratio': 'account_long_share', 'open interest': 'oi_base_reported'},
        otherwise={'too few venues compared': 'oi_compared_share_7d < ' ~ threshold('oi_comparable_share_min')},
        of=['positioning', 'options'],
    ) }}
),

upside_setup as (
    {{ signal_rows(
        'upside_setup',
        state=signal_state_is('grid_cell', ['upside_setup']),
        value='oi_zscore_90d_percentile',
        past=signal_past('upside_setup', ['oi_zscore_90d_percentile', 'excess_rate_percentile_90d']),
        needs={'open interest': 'oi_base_reported', 'funding': 'excess_rate_8h_at_close'},
        of=['oi', 'funding'],
    ) }}
),

extreme_positive_funding as (
    {{ signal_rows(
        'extreme_positive_funding',
        state=signal_state_is('regime', ['extreme_positive']),
        value='excess_rate_percentile_90d',
        past=signal_past('extreme_positive_funding', ['excess_rate_percentile_90d']),
        needs={'funding': 'excess_rate_8h_at_close'},
        of=['funding'],
    ) }}
),

extreme_negative_funding as (
    {{ signal_rows(
        'extreme_negative_funding',
        state=signal_state_is('regime', ['extreme_negative']),
        value='excess_rate_percentile_90d',
        past=signal_past('extreme_negative_funding', ['excess_rate_percentile_90d']),
        needs={'funding': 'excess_rate_8h_at_close'},
        of=['funding'],
    ) }}
),

top_risk as (
    {{ signal_rows(
        'top_risk',
        state=signal_state_is('grid_cell', ['top_risk']),
        value='oi_zscore_90d_percentile',
        past=signal_past('top_risk', ['oi_zscore_90d_percentile', 'excess_rate_percentile_90d']),
        needs={'open interest': 'oi_base_reported', 'funding': 'excess_rate_8h_at_close'},
        of=['oi', 'funding'],
    ) }}
),

bottom_zone as (
    {{ signal_rows(
        'bottom_zone',
        state=signal_state_is('grid_cell', ['bottom_zone']),
        value='oi_zscore_90d_percentile',
        past=signal_past('bottom_zone', ['oi_zscore_90d_percentile', 'excess_rate_percentile_90d']),
        needs={'open interest': 'oi_base_reported', 'funding': 'excess_rate_8h_at_close'},
        of=['oi', 'funding'],
    ) }}
),

large_liquidations as (
    {{ signal_rows(
        'large_liquidations',
        state='cascade',
        value='liquidated_usd',
        past='cascade_border_excess',
        needs={'liquidations': 'liquidated_usd'},
        of=['liquidations'],
    ) }}
),

systemic_risk as (
    {{ signal_rows(
        'systemic_risk',
        state=signal_state('systemic_risk'),
        value='systemic_risk_score',
        past=signal_past('systemic_risk', ['systemic_risk_score']),
        needs={'open interest': 'oi_usd_chain_linked', 'concentration': 'oi_hhi_chain_linked', 'volume': 'oi_to_volume'},
        otherwise={'too few venues with volume': 'oi_to_volume_oi_share < ' ~ threshold('oi_comparable_share_min')},
        of=['leverage'],
    ) }}
),

long_crowded as (
    {{ signal_rows(
        'long_crowded',
        state=signal_state_is('positioning_extreme', ['long_crowded']),
        value='account_long_share_percentile_90d',
        past=signal_past('long_crowded', ['account_long_share_percentile_90d']),
        needs={'long/short ratio': 'account_long_share'},
        of=['positioning'],
    ) }}
),

short_crowded as (
    {{ signal_rows(
        'short_crowded',
        state=signal_state_is('positioning_extreme', ['short_crowded']),
        value='account_long_share_percentile_90d',
        past=signal_past('short_crowded', ['account_long_share_percentile_90d']),
        needs={'long/short ratio': 'account_long_share'},
        of=['positioning'],
    ) }}
),

lending_stress as (
    {{ signal_rows(
        'lending_stress',
        state=signal_state('lending_stress'),
        value='lending_zscore_lead',
        past=signal_past_level('lending_stress', 'lending_zscore_lead'),
        needs={
            'exchange liquidations': 'exchange_position_notional_usd',
            'lending liquidations': 'lending_collateral_seized_usd',
        },
        last_reason='window not full or without spread',
        of=['lending'],
    ) }}
),

perp_dex_stress as (
    {{ signal_rows(
        'perp_dex_stress',
        state=signal_state('perp_dex_stress'),
        value='perp_dex_zscore_lead',
        past=signal_past_level('perp_dex_stress', 'perp_dex_zscore_lead'),
        needs={
            'exchange liquidations': 'exchange_position_notional_usd',
            'perpetual DEX liquidations': 'perp_dex_position_notional_usd',
        },
        last_reason='window not full or without spread',
        of=['perp_dex'],
    ) }}
),

signals as (
    {%- for signal in signal_names() %}
    select * from {{ signal }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    signals.asset,
    signals.trade_date,
    signals.signal,
    dim_signal.direction,
    signals.state,
    signals.value,
    signals.threshold,
    signals.condition,
    -- What is on is never 0: at its threshold, or where the past says nothing, it has the least strength.
    case
        when signals.state = 'on'
            then {{ threshold('signal_strength_min') }}
                + (1 - {{ threshold('signal_strength_min') }}) * coalesce(signals.past_threshold, 0e0)
        when signals.state = 'off' then 0e0
    end as strength,
    signals.unknown_reason,
    signals.inputs,
    cast(signals.inputs_known as int) as inputs_known,
    signals.inputs_expected,
    signals.venue_share,
    signals.completeness,
    signals.input_grain,
    signals.available_at
from signals
inner join {{ ref('dim_signal') }} as dim_signal on signals.signal = dim_signal.signal
