-- Each hypothesis as a condition on what a day shows: one CTE per signal, in the order of signal_names(). Measures and
-- states come from the marts by way of int_signal_inputs_daily; what a signal is expected to announce is the seed's.
{%- set at_90d = 'percentile in 90 days' %}

with inputs as (
    select * from {{ ref('int_signal_inputs_daily') }}
),

oi_expansion as (
    {{ signal_rows(
        'oi_expansion',
        state='expansion',
        value='oi_growth_1d',
        threshold=threshold('expansion_growth'),
        condition='value >= threshold and the price is flat',
        past=signal_above_level(
            'oi_growth_1d', threshold('expansion_growth'), 'oi_growth_1d_percentile', 'expansion_level_percentile'
        ),
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
        threshold='volume_high_30d',
        condition='value >= threshold and oi_expansion is on',
        past=signal_above('volume_base_percentile', '100 * ' ~ threshold('volume_confirmation_quantile')),
        needs={'open interest': 'oi_base_reported', 'price': 'close_usd', 'volume': 'volume_base'},
        otherwise={'too few venues compared': 'oi_compared_share_1d < ' ~ threshold('oi_comparable_share_min')},
        last_reason='window not full or its venues changed',
        of=['oi'],
    ) }}
),

bought_dip as (
    {{ signal_rows(
        'bought_dip',
        state=signal_state_is('divergence', 'bought_dip'),
        value='oi_change_sigmas',
        threshold=threshold('divergence_oi_sigmas'),
        condition='value > threshold and the price falls',
        past=signal_above_level(
            'oi_change_sigmas', threshold('divergence_oi_sigmas'),
            'oi_change_sigmas_percentile', 'bought_dip_level_percentile'
        ),
        needs={'open interest': 'oi_base_reported', 'price': 'close_usd'},
        otherwise={'too few venues compared': 'oi_compared_share_1d < ' ~ threshold('oi_comparable_share_min')},
        of=['oi'],
    ) }}
),

deleveraging as (
    {{ signal_rows(
        'deleveraging',
        state=signal_state_is('divergence', 'deleveraging'),
        value='oi_change_sigmas',
        threshold='-' ~ threshold('divergence_oi_sigmas'),
        condition='value < threshold and the price falls',
        past=signal_below_level(
            'oi_change_sigmas', '-' ~ threshold('divergence_oi_sigmas'),
            'oi_change_sigmas_percentile', 'deleveraging_level_percentile'
        ),
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
        condition='value from ' ~ signal_number('healthy_rate_low') ~ ' to ' ~ signal_number('healthy_rate_high')
        ~ ' and its spread is low',
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
        condition='value between ' ~ signal_number('funding_depressed_percentile') ~ ' and '
        ~ signal_number('funding_elevated_percentile') ~ ' for ' ~ signal_number('funding_normalization_days')
        ~ ' days after an extreme',
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
        state="case when zone_state = 'unknown' then 'unknown' when zone_state = 'outside' then 'off' else 'on' end",
        value='zone_distance',
        threshold=threshold('zone_near_distance'),
        condition='value < threshold',
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
        threshold=threshold('capitulation_put_call_percentile'),
        condition='value >= threshold, the ' ~ at_90d ~ ' of the long share of accounts >= '
        ~ signal_number('capitulation_account_percentile') ~ ' and open interest fell over 7 days',
        past=lesser_of(
            signal_above('put_call_oi_percentile_90d', threshold('capitulation_put_call_percentile')),
            signal_above('account_long_share_percentile_90d', threshold('capitulation_account_percentile'))
        ),
        needs={'options': 'put_call_oi_ratio', 'long/short ratio': 'account_long_share', 'open interest': 'oi_base_reported'},
        otherwise={'too few venues compared': 'oi_compared_share_7d < ' ~ threshold('oi_comparable_share_min')},
        of=['positioning', 'options'],
    ) }}
),

upside_setup as (
    {{ signal_rows(
        'upside_setup',
        state=signal_state_is('grid_cell', 'upside_setup'),
        value='oi_zscore_90d_percentile',
        threshold=threshold('grid_high_percentile'),
        condition='value >= threshold and the ' ~ at_90d ~ ' of funding <= ' ~ signal_number('grid_low_percentile'),
        past=lesser_of(
            signal_above('oi_zscore_90d_percentile', threshold('grid_high_percentile')),
            signal_below('excess_rate_percentile_90d', threshold('grid_low_percentile'))
        ),
        needs={'open interest': 'oi_base_reported', 'funding': 'excess_rate_8h_at_close'},
        of=['oi', 'funding'],
    ) }}
),

extreme_positive_funding as (
    {{ signal_rows(
        'extreme_positive_funding',
        state=signal_state_is('regime', 'extreme_positive'),
        value='excess_rate_percentile_90d',
        threshold=threshold('funding_extreme_high_percentile'),
        condition='value >= threshold for ' ~ signal_number('funding_regime_confirmations')
        ~ ' in a row, held while value >= ' ~ signal_number('funding_elevated_percentile'),
        past=signal_above('excess_rate_percentile_90d', threshold('funding_extreme_high_percentile')),
        needs={'funding': 'excess_rate_8h_at_close'},
        of=['funding'],
    ) }}
),

extreme_negative_funding as (
    {{ signal_rows(
        'extreme_negative_funding',
        state=signal_state_is('regime', 'extreme_negative'),
        value='excess_rate_percentile_90d',
        threshold=threshold('funding_extreme_low_percentile'),
        condition='value <= threshold for ' ~ signal_number('funding_regime_confirmations')
        ~ ' in a row, held while value <= ' ~ signal_number('funding_depressed_percentile'),
        past=signal_below('excess_rate_percentile_90d', threshold('funding_extreme_low_percentile')),
        needs={'funding': 'excess_rate_8h_at_close'},
        of=['funding'],
    ) }}
),

top_risk as (
    {{ signal_rows(
        'top_risk',
        state=signal_state_is('grid_cell', 'top_risk'),
        value='oi_zscore_90d_percentile',
        threshold=threshold('grid_high_percentile'),
        condition='value >= threshold and the ' ~ at_90d ~ ' of funding >= ' ~ signal_number('grid_high_percentile'),
        past=lesser_of(
            signal_above('oi_zscore_90d_percentile', threshold('grid_high_percentile')),
            signal_above('excess_rate_percentile_90d', threshold('grid_high_percentile'))
        ),
        needs={'open interest': 'oi_base_reported', 'funding': 'excess_rate_8h_at_close'},
        of=['oi', 'funding'],
    ) }}
),

bottom_zone as (
    {{ signal_rows(
        'bottom_zone',
        state=signal_state_is('grid_cell', 'bottom_zone'),
        value='oi_zscore_90d_percentile',
        threshold=threshold('grid_low_percentile'),
        condition='value <= threshold and the ' ~ at_90d ~ ' of funding <= ' ~ signal_number('grid_low_percentile'),
        past=lesser_of(
            signal_below('oi_zscore_90d_percentile', threshold('grid_low_percentile')),
            signal_below('excess_rate_percentile_90d', threshold('grid_low_percentile'))
        ),
        needs={'open interest': 'oi_base_reported', 'funding': 'excess_rate_8h_at_close'},
        of=['oi', 'funding'],
    ) }}
),

large_liquidations as (
    {{ signal_rows(
        'large_liquidations',
        state='cascade',
        value='liquidated_usd',
        threshold='liquidated_border_usd',
        condition='value > threshold, or a minute of a cascade where events are known',
        past=signal_above('liquidated_usd_percentile', '100 * ' ~ threshold('cascade_daily_quantile')),
        needs={'liquidations': 'liquidated_usd'},
        of=['liquidations'],
    ) }}
),

systemic_risk as (
    {{ signal_rows(
        'systemic_risk',
        state=stats_state(
            'systemic_risk_score >= ' ~ threshold('systemic_risk_high_score'), ['systemic_risk_score']
        ),
        value='systemic_risk_score',
        threshold=threshold('systemic_risk_high_score'),
        condition='value >= threshold',
        past=signal_above('systemic_risk_score', threshold('systemic_risk_high_score')),
        needs={'open interest': 'oi_usd_chain_linked', 'concentration': 'oi_hhi_chain_linked', 'volume': 'oi_to_volume'},
        otherwise={'too few venues with volume': 'oi_to_volume_oi_share < ' ~ threshold('oi_comparable_share_min')},
        of=['leverage'],
    ) }}
),

long_crowded as (
    {{ signal_rows(
        'long_crowded',
        state=signal_state_is('positioning_extreme', 'long_crowded'),
        value='account_long_share_percentile_90d',
        threshold=threshold('positioning_long_crowded_percentile'),
        condition='value >= threshold',
        past=signal_above('account_long_share_percentile_90d', threshold('positioning_long_crowded_percentile')),
        needs={'long/short ratio': 'account_long_share'},
        of=['positioning'],
    ) }}
),

short_crowded as (
    {{ signal_rows(
        'short_crowded',
        state=signal_state_is('positioning_extreme', 'short_crowded'),
        value='account_long_share_percentile_90d',
        threshold=threshold('positioning_short_crowded_percentile'),
        condition='value <= threshold',
        past=signal_below('account_long_share_percentile_90d', threshold('positioning_short_crowded_percentile')),
        needs={'long/short ratio': 'account_long_share'},
        of=['positioning'],
    ) }}
),

-- A quiet exchange beside quiet loans is no stress: what leads must also be above its own mean.
lending_stress as (
    {{ signal_rows(
        'lending_stress',
        state=stats_state(
            'lending_zscore_lead >= ' ~ threshold('onchain_lead_zscore') ~ ' and lending_zscore_90d > 0',
            ['lending_zscore_lead', 'lending_zscore_90d']
        ),
        value='lending_zscore_lead',
        threshold=threshold('onchain_lead_zscore'),
        condition='value >= threshold and the z-score of lending is above 0',
        past=signal_above_level(
            'lending_zscore_lead', threshold('onchain_lead_zscore'),
            'lending_zscore_lead_percentile', 'lending_level_percentile'
        ),
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
        state=stats_state(
            'perp_dex_zscore_lead >= ' ~ threshold('onchain_lead_zscore') ~ ' and perp_dex_zscore_90d > 0',
            ['perp_dex_zscore_lead', 'perp_dex_zscore_90d']
        ),
        value='perp_dex_zscore_lead',
        threshold=threshold('onchain_lead_zscore'),
        condition='value >= threshold and the z-score of perpetual DEXs is above 0',
        past=signal_above_level(
            'perp_dex_zscore_lead', threshold('onchain_lead_zscore'),
            'perp_dex_zscore_lead_percentile', 'perp_dex_level_percentile'
        ),
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
    -- Off is 0 once its percentile is known; adding 0 makes -0 of an expected fall a plain 0.
    case
        when signals.state = 'on' then dim_signal.direction_sign * signals.past_threshold + 0e0
        when signals.state = 'off' then 0 * signals.past_threshold
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
