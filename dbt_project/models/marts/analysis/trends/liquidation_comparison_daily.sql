-- Exchange, perp DEX and lending liquidations of an asset side by side, each in its own measure: the rows of
-- int_liquidations_by_kind_daily as columns, and what two kinds say together. Leads and lags are
-- liquidation_lead_lag_monthly's, hours liquidation_comparison_hourly's.
with kinds as (
    select * from {{ ref('int_liquidations_by_kind_daily') }}
),

-- The profiles of the days before a month hold for the whole month.
lags as (
    select
        asset,
        trade_month,
        counterpart,
        max(lag_days) filter (where is_best) as best_lag_days,
        max(correlation) filter (where is_best) as best_lag_correlation,
        max(correlation_band) as lag_band,
        max(common_days) as lag_common_days,
        max(available_at) as available_at
    from {{ ref('liquidation_lead_lag_monthly') }}
    group by asset, trade_month, counterpart
),

-- How much of the market is heard: open interest of the day before on the venues whose liquidations of the day are
-- known, also if there were none, over that of all venues. One small venue that tells everything is a small part.
heard as (
    select distinct venue, asset, trade_date
    from {{ ref('int_liquidations_by_venue_daily') }}
    where measure = 'position_notional' and notional_usd is not null
),

coverage as (
    select
        oi.asset,
        oi.trade_date + 1 as trade_date,
        coalesce(sum(oi.oi_base) filter (where heard.venue is not null), 0) / nullif(sum(oi.oi_base), 0)
            as liquidations_coverage,
        max(oi.available_at) as available_at
    from {{ ref('int_oi_by_venue_daily') }} as oi
    left join heard on oi.venue = heard.venue and oi.asset = heard.asset and oi.trade_date + 1 = heard.trade_date
    group by oi.asset, oi.trade_date
),

-- The pivot: every kind has a row for every day.
daily as (
    select
        exchange.asset,
        exchange.trade_date,
        exchange.notional_usd as exchange_position_notional_usd,
        exchange.notional_usd_long as exchange_position_notional_usd_long,
        exchange.notional_usd_short as exchange_position_notional_usd_short,
        exchange.notional_usd_side_unknown as exchange_position_notional_usd_side_unknown,
        exchange.notional_usd_upper as exchange_position_notional_usd_upper,
        exchange.completeness as exchange_completeness,
        exchange.venues_present as exchange_venues_present,
        exchange.venues_expected as exchange_venues_expected,
        exchange.venue_share as exchange_venue_share,
        exchange.unpriced_events as exchange_unpriced_events,
        exchange.liq_to_oi as exchange_liq_to_oi,
        exchange.liq_to_oi_long as exchange_liq_to_oi_long,
        exchange.liq_to_oi_short as exchange_liq_to_oi_short,
        exchange.liq_to_oi_usd as exchange_liq_to_oi_usd,
        exchange.liq_to_oi_usd_long as exchange_liq_to_oi_usd_long,
        exchange.liq_to_oi_usd_short as exchange_liq_to_oi_usd_short,
        exchange.liq_to_oi_venues as exchange_liq_to_oi_venues,
        perp_dex.notional_usd as perp_dex_position_notional_usd,
        perp_dex.notional_usd_long as perp_dex_position_notional_usd_long,
        perp_dex.notional_usd_short as perp_dex_position_notional_usd_short,
        perp_dex.notional_usd_side_unknown as perp_dex_position_notional_usd_side_unknown,
        perp_dex.notional_usd_upper as perp_dex_position_notional_usd_upper,
        perp_dex.completeness as perp_dex_completeness,
        perp_dex.venues_present as perp_dex_venues_present,
        perp_dex.venues_expected as perp_dex_venues_expected,
        perp_dex.venue_share as perp_dex_venue_share,
        perp_dex.unpriced_events as perp_dex_unpriced_events,
        perp_dex.liq_to_oi as perp_dex_liq_to_oi,
        perp_dex.liq_to_oi_long as perp_dex_liq_to_oi_long,
        perp_dex.liq_to_oi_short as perp_dex_liq_to_oi_short,
        perp_dex.liq_to_oi_usd as perp_dex_liq_to_oi_usd,
        perp_dex.liq_to_oi_usd_long as perp_dex_liq_to_oi_usd_long,
        perp_dex.liq_to_oi_usd_short as perp_dex_liq_to_oi_usd_short,
        perp_dex.liq_to_oi_venues as perp_dex_liq_to_oi_venues,
        lending_collateral.notional_usd as lending_collateral_seized_usd,
        lending_collateral.completeness as lending_collateral_completeness,
        lending_collateral.venues_present as lending_collateral_venues_present,
        lending_collateral.venues_expected as lending_collateral_venues_expected,
        lending_collateral.venue_share as lending_collateral_venue_share,
        lending_collateral.unpriced_events as lending_collateral_unpriced_events,
        lending_debt.notional_usd as lending_debt_repaid_usd,
        lending_debt.completeness as lending_debt_completeness,
        lending_debt.venues_present as lending_debt_venues_present,
        lending_debt.venues_expected as lending_debt_venues_expected,
        lending_debt.venue_share as lending_debt_venue_share,
        lending_debt.unpriced_events as lending_debt_unpriced_events,
        exchange.log_usd as exchange_log,
        perp_dex.log_usd as perp_dex_log,
        lending_collateral.log_usd as lending_log,
        exchange.zscore_90d as exchange_zscore_90d,
        perp_dex.zscore_90d as perp_dex_zscore_90d,
        lending_collateral.zscore_90d as lending_zscore_90d,
        nullif(concat_ws(
            ',',
            exchange.source_lists, perp_dex.source_lists, lending_collateral.source_lists, lending_debt.source_lists
        ), '') as source_lists,
        greatest(
            exchange.available_at, perp_dex.available_at,
            lending_collateral.available_at, lending_debt.available_at,
            cast(exchange.trade_date + 1 as timestamp)
        ) as day_available_at
    from kinds as exchange
    inner join kinds as perp_dex
        on exchange.asset = perp_dex.asset and exchange.trade_date = perp_dex.trade_date
        and perp_dex.kind = 'perp_dex'
    inner join kinds as lending_collateral
        on exchange.asset = lending_collateral.asset and exchange.trade_date = lending_collateral.trade_date
        and lending_collateral.kind = 'lending_collateral'
    inner join kinds as lending_debt
        on exchange.asset = lending_debt.asset and exchange.trade_date = lending_debt.trade_date
        and lending_debt.kind = 'lending_debt'
    where exchange.kind = 'exchange'
),

compared as (
    select
        *,
        {{ stats_correlation('exchange_log', 'perp_dex_log', threshold('correlation_window_days'), 'month_before') }}
            as exchange_perp_dex_correlation_30d,
        {{ stats_correlation('exchange_log', 'lending_log', threshold('correlation_window_days'), 'month_before') }}
            as exchange_lending_correlation_30d,
        -- A row rests on its windows too: it was not known before the last day of them.
        max(day_available_at) over so_far as known_at
    from daily
    window
        month_before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('correlation_window_days')) }}
        ),
        so_far as (partition by asset order by trade_date rows between unbounded preceding and current row)
),

source_lists as ({{ distinct_sorted_list('daily', 'source_lists') }})

select
    compared.asset,
    compared.trade_date,
    compared.exchange_position_notional_usd,
    compared.exchange_position_notional_usd_long,
    compared.exchange_position_notional_usd_short,
    compared.exchange_position_notional_usd_side_unknown,
    compared.exchange_position_notional_usd_upper,
    compared.exchange_completeness,
    compared.exchange_venues_present,
    compared.exchange_venues_expected,
    compared.exchange_venue_share,
    coverage.liquidations_coverage,
    compared.exchange_unpriced_events,
    compared.exchange_liq_to_oi,
    compared.exchange_liq_to_oi_long,
    compared.exchange_liq_to_oi_short,
    compared.exchange_liq_to_oi_usd,
    compared.exchange_liq_to_oi_usd_long,
    compared.exchange_liq_to_oi_usd_short,
    compared.exchange_liq_to_oi_venues,
    compared.perp_dex_position_notional_usd,
    compared.perp_dex_position_notional_usd_long,
    compared.perp_dex_position_notional_usd_short,
    compared.perp_dex_position_notional_usd_side_unknown,
    compared.perp_dex_position_notional_usd_upper,
    compared.perp_dex_completeness,
    compared.perp_dex_venues_present,
    compared.perp_dex_venues_expected,
    compared.perp_dex_venue_share,
    compared.perp_dex_unpriced_events,
    compared.perp_dex_liq_to_oi,
    compared.perp_dex_liq_to_oi_long,
    compared.perp_dex_liq_to_oi_short,
    compared.perp_dex_liq_to_oi_usd,
    compared.perp_dex_liq_to_oi_usd_long,
    compared.perp_dex_liq_to_oi_usd_short,
    compared.perp_dex_liq_to_oi_venues,
    compared.lending_collateral_seized_usd,
    compared.lending_collateral_completeness,
    compared.lending_collateral_venues_present,
    compared.lending_collateral_venues_expected,
    compared.lending_collateral_venue_share,
    compared.lending_collateral_unpriced_events,
    compared.lending_debt_repaid_usd,
    compared.lending_debt_completeness,
    compared.lending_debt_venues_present,
    compared.lending_debt_venues_expected,
    compared.lending_debt_venue_share,
    compared.lending_debt_unpriced_events,
    compared.perp_dex_position_notional_usd
    / nullif(compared.perp_dex_position_notional_usd + compared.exchange_position_notional_usd, 0) as perp_dex_share,
    compared.lending_collateral_seized_usd
    / nullif(compared.exchange_position_notional_usd, 0) as lending_to_exchange_ratio,
    compared.exchange_zscore_90d,
    compared.perp_dex_zscore_90d,
    compared.lending_zscore_90d,
    compared.exchange_zscore_90d - compared.perp_dex_zscore_90d as exchange_perp_dex_zscore_divergence,
    compared.exchange_zscore_90d - compared.lending_zscore_90d as exchange_lending_zscore_divergence,
    compared.exchange_perp_dex_correlation_30d,
    compared.exchange_lending_correlation_30d,
    perp_dex_lags.best_lag_days as exchange_perp_dex_best_lag_days,
    perp_dex_lags.best_lag_correlation as exchange_perp_dex_best_lag_correlation,
    perp_dex_lags.lag_band as exchange_perp_dex_lag_band,
    perp_dex_lags.lag_common_days as exchange_perp_dex_lag_common_days,
    lending_lags.best_lag_days as exchange_lending_best_lag_days,
    lending_lags.best_lag_correlation as exchange_lending_best_lag_correlation,
    lending_lags.lag_band as exchange_lending_lag_band,
    lending_lags.lag_common_days as exchange_lending_lag_common_days,
    source_lists.tidy as sources,
    greatest(
        compared.known_at, perp_dex_lags.available_at, lending_lags.available_at, coverage.available_at
    ) as available_at
from compared
left join coverage on compared.asset = coverage.asset and compared.trade_date = coverage.trade_date
left join source_lists on compared.source_lists = source_lists.gathered
left join lags as perp_dex_lags
    on compared.asset = perp_dex_lags.asset
    and cast(date_trunc('month', compared.trade_date) as date) = perp_dex_lags.trade_month
    and perp_dex_lags.counterpart = 'perp_dex'
left join lags as lending_lags
    on compared.asset = lending_lags.asset
    and cast(date_trunc('month', compared.trade_date) as date) = lending_lags.trade_month
    and lending_lags.counterpart = 'lending'
