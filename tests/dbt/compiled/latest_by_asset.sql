-- One row per asset for those who compare assets: everything of one day, the newest with known open interest.
with newest as (
    select * from marts.oi_trends_daily
    where oi_base is not null
    qualify row_number() over (partition by asset order by trade_date desc) = 1
),

largest as (
    select
        oi.asset,
        oi.trade_date,
        sum(oi.oi_usd) as oi_usd,
        max_by(oi.venue, oi.oi_usd) as largest_venue,
        max(oi.oi_usd) as largest_venue_oi_usd
    from marts.fct_open_interest_daily as oi
    inner join newest on oi.asset = newest.asset and oi.trade_date = newest.trade_date
    where oi.oi_usd is not null and oi.taint_reason is null
    group by oi.asset, oi.trade_date
),

-- What the record says of a signal: the verdict of its primary hypothesis.
verdicts as (
    select
        signal,
        signal || ' (' || replace(verdict, '_', ' ') || '; ' || cast(coalesce(n_events, 0) as string)
        || ' events)' as spoken,
        available_at
    from marts.signal_scorecard_latest
    where family = 'primary'
),

signals as (
    select
        states.asset,
        states.trade_date,
        array_to_string(list_sort(list_distinct(list(case when states.state = 'on' then states.signal end) filter (where case when states.state = 'on' then states.signal end is not null))), ',') as signals_on_names,
        array_to_string(list_sort(list_distinct(list(case when states.state = 'on' then verdicts.spoken end) filter (where case when states.state = 'on' then verdicts.spoken end is not null))), ',') as signals_on_verdicts,
        max(case when states.state = 'on' then verdicts.available_at end) as available_at
    from marts.signals_daily as states
    left join verdicts on states.signal = verdicts.signal
    group by states.asset, states.trade_date
)

select
    newest.asset,
    newest.trade_date,
    newest.close_usd,
    newest.log_return,
    newest.realized_vol_30d_daily * sqrt(365e0) as realized_vol_30d_annualized,
    price.basis,
    newest.oi_base,
    newest.oi_usd,
    newest.oi_growth_1d,
    newest.oi_growth_7d,
    newest.oi_usd_change_1d,
    newest.oi_usd_position_1d,
    newest.oi_usd_price_1d,
    newest.oi_usd_cross_1d,
    newest.oi_percentile_365d,
    largest.largest_venue,
    largest.largest_venue_oi_usd / nullif(largest.oi_usd, 0) as largest_venue_share,
    newest.quadrant,
    3 * 365 * funding.rate_8h as funding_rate_annual,
    3 * 365 * funding.excess_rate_8h as excess_rate_annual,
    funding.excess_rate_percentile_90d,
    funding.regime,
    funding.days_in_regime,
    liquidations.exchange_position_notional_usd as liquidated_24h_usd,
    liquidations.exchange_position_notional_usd_long as liquidated_24h_usd_long,
    liquidations.exchange_position_notional_usd_short as liquidated_24h_usd_short,
    liquidations.exchange_completeness as liquidations_completeness,
    liquidations.liquidations_coverage as liquidations_oi_share,
    positioning.account_long_share,
    positioning.account_long_share_percentile_90d,
    positioning.positioning_extreme,
    options.put_call_oi_ratio,
    options.put_call_oi_percentile_90d,
    options.iv_atm_30d,
    options.skew_25d_30d,
    leverage.oi_to_volume,
    leverage.systemic_risk_score,
    matrix.signals_on,
    matrix.signals_known,
    signals.signals_on_names,
    signals.signals_on_verdicts,
    newest.venues_present,
    newest.venues_expected,
    newest.venue_share,
    newest.oi_change_plausible,
    newest.excluded_venues,
    greatest(
        newest.available_at,
        coalesce(price.available_at, newest.available_at),
        coalesce(funding.available_at, newest.available_at),
        coalesce(liquidations.available_at, newest.available_at),
        coalesce(positioning.available_at, newest.available_at),
        coalesce(options.available_at, newest.available_at),
        coalesce(leverage.available_at, newest.available_at),
        coalesce(matrix.available_at, newest.available_at),
        coalesce(signals.available_at, newest.available_at)
    ) as available_at
from newest
left join marts.fct_price_daily as price on newest.asset = price.asset and newest.trade_date = price.trade_date
left join largest on newest.asset = largest.asset and newest.trade_date = largest.trade_date
left join marts.funding_regimes_daily as funding
    on newest.asset = funding.asset and newest.trade_date = funding.trade_date
left join marts.liquidation_comparison_daily as liquidations
    on newest.asset = liquidations.asset and newest.trade_date = liquidations.trade_date
left join marts.positioning_divergence_daily as positioning
    on newest.asset = positioning.asset and newest.trade_date = positioning.trade_date
left join marts.options_structure_daily as options
    on newest.asset = options.asset and newest.trade_date = options.trade_date
left join marts.leverage_daily as leverage
    on newest.asset = leverage.asset and newest.trade_date = leverage.trade_date
left join marts.signal_matrix_daily as matrix
    on newest.asset = matrix.asset and newest.trade_date = matrix.trade_date
left join signals on newest.asset = signals.asset and newest.trade_date = signals.trade_date
