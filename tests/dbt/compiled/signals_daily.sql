-- Each hypothesis on what a day shows: one CTE per signal, in the order of dbt_project.yml, where its condition stands
-- (vars: signals:). Measures and states come from the marts by way of int_signal_inputs_daily; what a signal is
-- expected to announce is the seed's.

with inputs as (
    select * from intermediate.int_signal_inputs_daily
),

oi_expansion as (

    select
        asset,
        trade_date,
        'oi_expansion' as signal,
        expansion as state,
        cast(oi_growth_1d as double) as value,
        cast(0.08e0 as double) as threshold,
        'growth of open interest since the day before >= 0.08, and absolute log return of the day <= 0.5 sigma30' as condition,
        case when oi_growth_1d > 0.08e0 then 1 - 0.08e0 / oi_growth_1d else 0e0 end as past_threshold,
        'open interest,price' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when close_usd is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (expansion) <> 'unknown' then null
            when oi_base_reported is null or close_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when close_usd is null then 'price' end
                )
            when oi_compared_share_1d < 0.5e0 then 'too few venues compared'
            else 'window not full'
        end as unknown_reason,
        oi_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain), '') as input_grain,
        oi_available_at as available_at
    from inputs

),

oi_expansion_confirmed as (

    select
        asset,
        trade_date,
        'oi_expansion_confirmed' as signal,
        expansion_confirmed as state,
        cast(volume_base as double) as value,
        cast(volume_high_30d as double) as threshold,
        'base volume of the day >= its 0.8 quantile in the 30 days before, and oi_expansion is on' as condition,
        case when volume_base > volume_high_30d then 1 - volume_high_30d / volume_base else 0e0 end as past_threshold,
        'open interest,price,volume' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when close_usd is null then 0 else 1 end
        + case when volume_base is null then 0 else 1 end as inputs_known,
        3 as inputs_expected,
        case
            when (expansion_confirmed) <> 'unknown' then null
            when oi_base_reported is null or close_usd is null or volume_base is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when close_usd is null then 'price' end, case when volume_base is null then 'volume' end
                )
            when oi_compared_share_1d < 0.5e0 then 'too few venues compared'
            else 'window not full or its venues changed'
        end as unknown_reason,
        oi_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain), '') as input_grain,
        oi_available_at as available_at
    from inputs

),

bought_dip as (

    select
        asset,
        trade_date,
        'bought_dip' as signal,
        case
        when coalesce(divergence, 'unknown') = 'unknown' then 'unknown'
        when divergence in ('bought_dip') then 'on'
        else 'off'
    end as state,
        cast(oi_change_sigmas as double) as value,
        cast(0.5e0 as double) as threshold,
        'log change of open interest since the day before > 0.5 sigma_oi, and log return of the day <= -1 sigma30' as condition,
        case when oi_change_sigmas > 0.5e0 then 1 - 0.5e0 / oi_change_sigmas else 0e0 end as past_threshold,
        'open interest,price' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when close_usd is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when coalesce(divergence, 'unknown') = 'unknown' then 'unknown'
        when divergence in ('bought_dip') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when oi_base_reported is null or close_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when close_usd is null then 'price' end
                )
            when oi_compared_share_1d < 0.5e0 then 'too few venues compared'
            else 'window not full'
        end as unknown_reason,
        oi_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain), '') as input_grain,
        oi_available_at as available_at
    from inputs

),

deleveraging as (

    select
        asset,
        trade_date,
        'deleveraging' as signal,
        case
        when coalesce(divergence, 'unknown') = 'unknown' then 'unknown'
        when divergence in ('deleveraging') then 'on'
        else 'off'
    end as state,
        cast(oi_change_sigmas as double) as value,
        cast(-0.5e0 as double) as threshold,
        'log change of open interest since the day before < -0.5 sigma_oi, and log return of the day <= -1 sigma30' as condition,
        case when oi_change_sigmas < -0.5e0 then 1 - -0.5e0 / oi_change_sigmas else 0e0 end as past_threshold,
        'open interest,price' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when close_usd is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when coalesce(divergence, 'unknown') = 'unknown' then 'unknown'
        when divergence in ('deleveraging') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when oi_base_reported is null or close_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when close_usd is null then 'price' end
                )
            when oi_compared_share_1d < 0.5e0 then 'too few venues compared'
            else 'window not full'
        end as unknown_reason,
        oi_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain), '') as input_grain,
        oi_available_at as available_at
    from inputs

),

healthy_funding as (

    select
        asset,
        trade_date,
        'healthy_funding' as signal,
        healthy_market as state,
        cast(rate_8h_mean_7d as double) as value,
        cast(null as double) as threshold,
        'mean rate per 8 h of the 7 days before >= 0.000037, and mean rate per 8 h of the 7 days before <= 0.000072, and standard deviation of the rate in the 30 days before < its 0.5 quantile in the 365 days before' as condition,
        case
        when rate_8h_sd_30d_percentile >= 100 * 0.5e0 then 0e0
        else (100 * 0.5e0 - rate_8h_sd_30d_percentile) / nullif(cast(100 * 0.5e0 as double), 0)
    end as past_threshold,
        'funding' as inputs,
        case when coalesce(rate_8h, rate_8h_mean_7d) is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (healthy_market) <> 'unknown' then null
            when coalesce(rate_8h, rate_8h_mean_7d) is null
                then 'missing ' || concat_ws(
                    ', ', case when coalesce(rate_8h, rate_8h_mean_7d) is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        funding_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', funding_input_grain), '') as input_grain,
        funding_available_at as available_at
    from inputs

),

funding_normalization as (

    select
        asset,
        trade_date,
        'funding_normalization' as signal,
        normalization as state,
        cast(excess_rate_percentile_90d as double) as value,
        cast(null as double) as threshold,
        'days in a row with a percentile of the excess rate between 10 and 90 >= 3, and regime of funding is not extreme_positive, and regime of funding is not extreme_negative, and an extreme regime of funding came before, with neither a normalization nor an unknown day since' as condition,
        case
        when excess_rate_percentile_90d < 10.0e0 or excess_rate_percentile_90d > 90.0e0 then 0e0
        else 1 - abs(2 * excess_rate_percentile_90d - 10.0e0 - 90.0e0) / (90.0e0 - 10.0e0)
    end as past_threshold,
        'funding' as inputs,
        case when excess_rate_8h_at_close is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (normalization) <> 'unknown' then null
            when excess_rate_8h_at_close is null
                then 'missing ' || concat_ws(
                    ', ', case when excess_rate_8h_at_close is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        funding_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', funding_input_grain), '') as input_grain,
        funding_available_at as available_at
    from inputs

),

dense_liquidation_zone as (

    select
        asset,
        trade_date,
        'dense_liquidation_zone' as signal,
        case
        when coalesce(zone_state, 'unknown') = 'unknown' then 'unknown'
        when zone_state in ('inside', 'near') then 'on'
        else 'off'
    end as state,
        cast(zone_distance as double) as value,
        cast(0.02e0 as double) as threshold,
        'distance of the close to the nearest dense liquidation zone < 0.02' as condition,
        case when zone_state in ('inside', 'near') then 1 - zone_distance / 0.02e0 else 0e0 end as past_threshold,
        'liquidations,price' as inputs,
        case when zone_days_known is null then 0 else 1 end
        + case when zone_close_usd is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when coalesce(zone_state, 'unknown') = 'unknown' then 'unknown'
        when zone_state in ('inside', 'near') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when zone_days_known is null or zone_close_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when zone_days_known is null then 'liquidations' end, case when zone_close_usd is null then 'price' end
                )
            else 'window not full'
        end as unknown_reason,
        least(liquidations_venue_share, zones_venue_share) as venue_share,
        liquidations_completeness as completeness,
        nullif(concat_ws(',', liquidations_input_grain), '') as input_grain,
        greatest(liquidations_available_at, zones_available_at) as available_at
    from inputs

),

capitulation as (

    select
        asset,
        trade_date,
        'capitulation' as signal,
        capitulation as state,
        cast(put_call_oi_percentile_90d as double) as value,
        cast(90.0e0 as double) as threshold,
        'percentile of put/call by open interest among the 90 days before >= 90, and percentile of the long share of accounts among the 90 days before >= 70, and change of open interest over 7 days < 0' as condition,
        case when (case
        when put_call_oi_percentile_90d <= 90.0e0 then 0e0
        else (put_call_oi_percentile_90d - 90.0e0) / nullif(100e0 - 90.0e0, 0)
    end) <= (case
        when account_long_share_percentile_90d <= 70.0e0 then 0e0
        else (account_long_share_percentile_90d - 70.0e0) / nullif(100e0 - 70.0e0, 0)
    end) then case
        when put_call_oi_percentile_90d <= 90.0e0 then 0e0
        else (put_call_oi_percentile_90d - 90.0e0) / nullif(100e0 - 90.0e0, 0)
    end when (case
        when put_call_oi_percentile_90d <= 90.0e0 then 0e0
        else (put_call_oi_percentile_90d - 90.0e0) / nullif(100e0 - 90.0e0, 0)
    end) > (case
        when account_long_share_percentile_90d <= 70.0e0 then 0e0
        else (account_long_share_percentile_90d - 70.0e0) / nullif(100e0 - 70.0e0, 0)
    end) then case
        when account_long_share_percentile_90d <= 70.0e0 then 0e0
        else (account_long_share_percentile_90d - 70.0e0) / nullif(100e0 - 70.0e0, 0)
    end end as past_threshold,
        'options,long/short ratio,open interest' as inputs,
        case when put_call_oi_ratio is null then 0 else 1 end
        + case when account_long_share is null then 0 else 1 end
        + case when oi_base_reported is null then 0 else 1 end as inputs_known,
        3 as inputs_expected,
        case
            when (capitulation) <> 'unknown' then null
            when put_call_oi_ratio is null or account_long_share is null or oi_base_reported is null
                then 'missing ' || concat_ws(
                    ', ', case when put_call_oi_ratio is null then 'options' end, case when account_long_share is null then 'long/short ratio' end, case when oi_base_reported is null then 'open interest' end
                )
            when oi_compared_share_7d < 0.5e0 then 'too few venues compared'
            else 'window not full'
        end as unknown_reason,
        least(positioning_venue_share, options_venue_share) as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', positioning_input_grain), '') as input_grain,
        greatest(positioning_available_at, options_available_at) as available_at
    from inputs

),

upside_setup as (

    select
        asset,
        trade_date,
        'upside_setup' as signal,
        case
        when coalesce(grid_cell, 'unknown') = 'unknown' then 'unknown'
        when grid_cell in ('upside_setup') then 'on'
        else 'off'
    end as state,
        cast(oi_zscore_90d_percentile as double) as value,
        cast(80.0e0 as double) as threshold,
        'percentile of the z-score of open interest among the 90 days before >= 80, and percentile of the excess rate among the 90 days before <= 20' as condition,
        case when (case
        when oi_zscore_90d_percentile <= 80.0e0 then 0e0
        else (oi_zscore_90d_percentile - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end) <= (case
        when excess_rate_percentile_90d >= 20.0e0 then 0e0
        else (20.0e0 - excess_rate_percentile_90d) / nullif(cast(20.0e0 as double), 0)
    end) then case
        when oi_zscore_90d_percentile <= 80.0e0 then 0e0
        else (oi_zscore_90d_percentile - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end when (case
        when oi_zscore_90d_percentile <= 80.0e0 then 0e0
        else (oi_zscore_90d_percentile - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end) > (case
        when excess_rate_percentile_90d >= 20.0e0 then 0e0
        else (20.0e0 - excess_rate_percentile_90d) / nullif(cast(20.0e0 as double), 0)
    end) then case
        when excess_rate_percentile_90d >= 20.0e0 then 0e0
        else (20.0e0 - excess_rate_percentile_90d) / nullif(cast(20.0e0 as double), 0)
    end end as past_threshold,
        'open interest,funding' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when excess_rate_8h_at_close is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when coalesce(grid_cell, 'unknown') = 'unknown' then 'unknown'
        when grid_cell in ('upside_setup') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when oi_base_reported is null or excess_rate_8h_at_close is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when excess_rate_8h_at_close is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        least(oi_venue_share, funding_venue_share) as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain, funding_input_grain), '') as input_grain,
        greatest(oi_available_at, funding_available_at) as available_at
    from inputs

),

extreme_positive_funding as (

    select
        asset,
        trade_date,
        'extreme_positive_funding' as signal,
        case
        when coalesce(regime, 'unknown') = 'unknown' then 'unknown'
        when regime in ('extreme_positive') then 'on'
        else 'off'
    end as state,
        cast(excess_rate_percentile_90d as double) as value,
        cast(97.5e0 as double) as threshold,
        'percentile of the excess rate among the 90 days before >= 97.5, and excess rate per 8 h > 0.00001, 3 times in a row; it ends when another regime comes 3 times in a row and none of them has percentile of the excess rate among the 90 days before >= 90' as condition,
        case
        when excess_rate_percentile_90d <= 90.0e0 then 0e0
        else (excess_rate_percentile_90d - 90.0e0) / nullif(100e0 - 90.0e0, 0)
    end as past_threshold,
        'funding' as inputs,
        case when excess_rate_8h_at_close is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (case
        when coalesce(regime, 'unknown') = 'unknown' then 'unknown'
        when regime in ('extreme_positive') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when excess_rate_8h_at_close is null
                then 'missing ' || concat_ws(
                    ', ', case when excess_rate_8h_at_close is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        funding_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', funding_input_grain), '') as input_grain,
        funding_available_at as available_at
    from inputs

),

extreme_negative_funding as (

    select
        asset,
        trade_date,
        'extreme_negative_funding' as signal,
        case
        when coalesce(regime, 'unknown') = 'unknown' then 'unknown'
        when regime in ('extreme_negative') then 'on'
        else 'off'
    end as state,
        cast(excess_rate_percentile_90d as double) as value,
        cast(2.5e0 as double) as threshold,
        'percentile of the excess rate among the 90 days before <= 2.5, and excess rate per 8 h < -0.00001, 3 times in a row; it ends when another regime comes 3 times in a row and none of them has percentile of the excess rate among the 90 days before <= 10' as condition,
        case
        when excess_rate_percentile_90d >= 10.0e0 then 0e0
        else (10.0e0 - excess_rate_percentile_90d) / nullif(cast(10.0e0 as double), 0)
    end as past_threshold,
        'funding' as inputs,
        case when excess_rate_8h_at_close is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (case
        when coalesce(regime, 'unknown') = 'unknown' then 'unknown'
        when regime in ('extreme_negative') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when excess_rate_8h_at_close is null
                then 'missing ' || concat_ws(
                    ', ', case when excess_rate_8h_at_close is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        funding_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', funding_input_grain), '') as input_grain,
        funding_available_at as available_at
    from inputs

),

top_risk as (

    select
        asset,
        trade_date,
        'top_risk' as signal,
        case
        when coalesce(grid_cell, 'unknown') = 'unknown' then 'unknown'
        when grid_cell in ('top_risk') then 'on'
        else 'off'
    end as state,
        cast(oi_zscore_90d_percentile as double) as value,
        cast(80.0e0 as double) as threshold,
        'percentile of the z-score of open interest among the 90 days before >= 80, and percentile of the excess rate among the 90 days before >= 80' as condition,
        case when (case
        when oi_zscore_90d_percentile <= 80.0e0 then 0e0
        else (oi_zscore_90d_percentile - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end) <= (case
        when excess_rate_percentile_90d <= 80.0e0 then 0e0
        else (excess_rate_percentile_90d - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end) then case
        when oi_zscore_90d_percentile <= 80.0e0 then 0e0
        else (oi_zscore_90d_percentile - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end when (case
        when oi_zscore_90d_percentile <= 80.0e0 then 0e0
        else (oi_zscore_90d_percentile - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end) > (case
        when excess_rate_percentile_90d <= 80.0e0 then 0e0
        else (excess_rate_percentile_90d - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end) then case
        when excess_rate_percentile_90d <= 80.0e0 then 0e0
        else (excess_rate_percentile_90d - 80.0e0) / nullif(100e0 - 80.0e0, 0)
    end end as past_threshold,
        'open interest,funding' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when excess_rate_8h_at_close is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when coalesce(grid_cell, 'unknown') = 'unknown' then 'unknown'
        when grid_cell in ('top_risk') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when oi_base_reported is null or excess_rate_8h_at_close is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when excess_rate_8h_at_close is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        least(oi_venue_share, funding_venue_share) as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain, funding_input_grain), '') as input_grain,
        greatest(oi_available_at, funding_available_at) as available_at
    from inputs

),

bottom_zone as (

    select
        asset,
        trade_date,
        'bottom_zone' as signal,
        case
        when coalesce(grid_cell, 'unknown') = 'unknown' then 'unknown'
        when grid_cell in ('bottom_zone') then 'on'
        else 'off'
    end as state,
        cast(oi_zscore_90d_percentile as double) as value,
        cast(20.0e0 as double) as threshold,
        'percentile of the z-score of open interest among the 90 days before <= 20, and percentile of the excess rate among the 90 days before <= 20' as condition,
        case when (case
        when oi_zscore_90d_percentile >= 20.0e0 then 0e0
        else (20.0e0 - oi_zscore_90d_percentile) / nullif(cast(20.0e0 as double), 0)
    end) <= (case
        when excess_rate_percentile_90d >= 20.0e0 then 0e0
        else (20.0e0 - excess_rate_percentile_90d) / nullif(cast(20.0e0 as double), 0)
    end) then case
        when oi_zscore_90d_percentile >= 20.0e0 then 0e0
        else (20.0e0 - oi_zscore_90d_percentile) / nullif(cast(20.0e0 as double), 0)
    end when (case
        when oi_zscore_90d_percentile >= 20.0e0 then 0e0
        else (20.0e0 - oi_zscore_90d_percentile) / nullif(cast(20.0e0 as double), 0)
    end) > (case
        when excess_rate_percentile_90d >= 20.0e0 then 0e0
        else (20.0e0 - excess_rate_percentile_90d) / nullif(cast(20.0e0 as double), 0)
    end) then case
        when excess_rate_percentile_90d >= 20.0e0 then 0e0
        else (20.0e0 - excess_rate_percentile_90d) / nullif(cast(20.0e0 as double), 0)
    end end as past_threshold,
        'open interest,funding' as inputs,
        case when oi_base_reported is null then 0 else 1 end
        + case when excess_rate_8h_at_close is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when coalesce(grid_cell, 'unknown') = 'unknown' then 'unknown'
        when grid_cell in ('bottom_zone') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when oi_base_reported is null or excess_rate_8h_at_close is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_base_reported is null then 'open interest' end, case when excess_rate_8h_at_close is null then 'funding' end
                )
            else 'window not full'
        end as unknown_reason,
        least(oi_venue_share, funding_venue_share) as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', oi_input_grain, funding_input_grain), '') as input_grain,
        greatest(oi_available_at, funding_available_at) as available_at
    from inputs

),

large_liquidations as (

    select
        asset,
        trade_date,
        'large_liquidations' as signal,
        cascade as state,
        cast(liquidated_usd as double) as value,
        cast(liquidated_border_usd as double) as threshold,
        'liquidated notional of the day > its 0.975 quantile in the 90 days before, or number of cascades by the minute (where single liquidations are known) > 0' as condition,
        cascade_border_excess as past_threshold,
        'liquidations' as inputs,
        case when liquidated_usd is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (cascade) <> 'unknown' then null
            when liquidated_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when liquidated_usd is null then 'liquidations' end
                )
            else 'window not full'
        end as unknown_reason,
        liquidations_venue_share as venue_share,
        liquidations_completeness as completeness,
        nullif(concat_ws(',', liquidations_input_grain), '') as input_grain,
        liquidations_available_at as available_at
    from inputs

),

systemic_risk as (

    select
        asset,
        trade_date,
        'systemic_risk' as signal,
        case
        when systemic_risk_score is null then 'unknown'
        when systemic_risk_score >= 72.0e0 then 'on'
        else 'off'
    end as state,
        cast(systemic_risk_score as double) as value,
        cast(72.0e0 as double) as threshold,
        'systemic-risk score >= 72' as condition,
        case
        when systemic_risk_score <= 72.0e0 then 0e0
        else (systemic_risk_score - 72.0e0) / nullif(100e0 - 72.0e0, 0)
    end as past_threshold,
        'open interest,concentration,volume' as inputs,
        case when oi_usd_chain_linked is null then 0 else 1 end
        + case when oi_hhi_chain_linked is null then 0 else 1 end
        + case when oi_to_volume is null then 0 else 1 end as inputs_known,
        3 as inputs_expected,
        case
            when (case
        when systemic_risk_score is null then 'unknown'
        when systemic_risk_score >= 72.0e0 then 'on'
        else 'off'
    end) <> 'unknown' then null
            when oi_usd_chain_linked is null or oi_hhi_chain_linked is null or oi_to_volume is null
                then 'missing ' || concat_ws(
                    ', ', case when oi_usd_chain_linked is null then 'open interest' end, case when oi_hhi_chain_linked is null then 'concentration' end, case when oi_to_volume is null then 'volume' end
                )
            when oi_to_volume_oi_share < 0.5e0 then 'too few venues with volume'
            else 'window not full'
        end as unknown_reason,
        leverage_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', leverage_input_grain), '') as input_grain,
        leverage_available_at as available_at
    from inputs

),

long_crowded as (

    select
        asset,
        trade_date,
        'long_crowded' as signal,
        case
        when coalesce(positioning_extreme, 'unknown') = 'unknown' then 'unknown'
        when positioning_extreme in ('long_crowded') then 'on'
        else 'off'
    end as state,
        cast(account_long_share_percentile_90d as double) as value,
        cast(97.5e0 as double) as threshold,
        'percentile of the long share of accounts among the 90 days before >= 97.5' as condition,
        case
        when account_long_share_percentile_90d <= 97.5e0 then 0e0
        else (account_long_share_percentile_90d - 97.5e0) / nullif(100e0 - 97.5e0, 0)
    end as past_threshold,
        'long/short ratio' as inputs,
        case when account_long_share is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (case
        when coalesce(positioning_extreme, 'unknown') = 'unknown' then 'unknown'
        when positioning_extreme in ('long_crowded') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when account_long_share is null
                then 'missing ' || concat_ws(
                    ', ', case when account_long_share is null then 'long/short ratio' end
                )
            else 'window not full'
        end as unknown_reason,
        positioning_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', positioning_input_grain), '') as input_grain,
        positioning_available_at as available_at
    from inputs

),

short_crowded as (

    select
        asset,
        trade_date,
        'short_crowded' as signal,
        case
        when coalesce(positioning_extreme, 'unknown') = 'unknown' then 'unknown'
        when positioning_extreme in ('short_crowded') then 'on'
        else 'off'
    end as state,
        cast(account_long_share_percentile_90d as double) as value,
        cast(2.5e0 as double) as threshold,
        'percentile of the long share of accounts among the 90 days before <= 2.5' as condition,
        case
        when account_long_share_percentile_90d >= 2.5e0 then 0e0
        else (2.5e0 - account_long_share_percentile_90d) / nullif(cast(2.5e0 as double), 0)
    end as past_threshold,
        'long/short ratio' as inputs,
        case when account_long_share is null then 0 else 1 end as inputs_known,
        1 as inputs_expected,
        case
            when (case
        when coalesce(positioning_extreme, 'unknown') = 'unknown' then 'unknown'
        when positioning_extreme in ('short_crowded') then 'on'
        else 'off'
    end) <> 'unknown' then null
            when account_long_share is null
                then 'missing ' || concat_ws(
                    ', ', case when account_long_share is null then 'long/short ratio' end
                )
            else 'window not full'
        end as unknown_reason,
        positioning_venue_share as venue_share,
        cast(null as string) as completeness,
        nullif(concat_ws(',', positioning_input_grain), '') as input_grain,
        positioning_available_at as available_at
    from inputs

),

lending_stress as (

    select
        asset,
        trade_date,
        'lending_stress' as signal,
        case
        when lending_zscore_lead is null or lending_zscore_90d is null then 'unknown'
        when lending_zscore_lead >= 1.0e0 and lending_zscore_90d > 0 then 'on'
        else 'off'
    end as state,
        cast(lending_zscore_lead as double) as value,
        cast(1.0e0 as double) as threshold,
        'z-score of lending liquidations less that of exchange liquidations >= 1, and z-score of lending liquidations > 0' as condition,
        case when lending_zscore_lead > 1.0e0 then 1 - 1.0e0 / lending_zscore_lead else 0e0 end as past_threshold,
        'exchange liquidations,lending liquidations' as inputs,
        case when exchange_position_notional_usd is null then 0 else 1 end
        + case when lending_collateral_seized_usd is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when lending_zscore_lead is null or lending_zscore_90d is null then 'unknown'
        when lending_zscore_lead >= 1.0e0 and lending_zscore_90d > 0 then 'on'
        else 'off'
    end) <> 'unknown' then null
            when exchange_position_notional_usd is null or lending_collateral_seized_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when exchange_position_notional_usd is null then 'exchange liquidations' end, case when lending_collateral_seized_usd is null then 'lending liquidations' end
                )
            else 'window not full or without spread'
        end as unknown_reason,
        lending_venue_share as venue_share,
        lending_completeness as completeness,
        cast(null as string) as input_grain,
        lending_available_at as available_at
    from inputs

),

perp_dex_stress as (

    select
        asset,
        trade_date,
        'perp_dex_stress' as signal,
        case
        when perp_dex_zscore_lead is null or perp_dex_zscore_90d is null then 'unknown'
        when perp_dex_zscore_lead >= 1.0e0 and perp_dex_zscore_90d > 0 then 'on'
        else 'off'
    end as state,
        cast(perp_dex_zscore_lead as double) as value,
        cast(1.0e0 as double) as threshold,
        'z-score of perpetual DEX liquidations less that of exchange liquidations >= 1, and z-score of perpetual DEX liquidations > 0' as condition,
        case when perp_dex_zscore_lead > 1.0e0 then 1 - 1.0e0 / perp_dex_zscore_lead else 0e0 end as past_threshold,
        'exchange liquidations,perpetual DEX liquidations' as inputs,
        case when exchange_position_notional_usd is null then 0 else 1 end
        + case when perp_dex_position_notional_usd is null then 0 else 1 end as inputs_known,
        2 as inputs_expected,
        case
            when (case
        when perp_dex_zscore_lead is null or perp_dex_zscore_90d is null then 'unknown'
        when perp_dex_zscore_lead >= 1.0e0 and perp_dex_zscore_90d > 0 then 'on'
        else 'off'
    end) <> 'unknown' then null
            when exchange_position_notional_usd is null or perp_dex_position_notional_usd is null
                then 'missing ' || concat_ws(
                    ', ', case when exchange_position_notional_usd is null then 'exchange liquidations' end, case when perp_dex_position_notional_usd is null then 'perpetual DEX liquidations' end
                )
            else 'window not full or without spread'
        end as unknown_reason,
        perp_dex_venue_share as venue_share,
        perp_dex_completeness as completeness,
        cast(null as string) as input_grain,
        perp_dex_available_at as available_at
    from inputs

),

signals as (
    select * from oi_expansion
    union all
    select * from oi_expansion_confirmed
    union all
    select * from bought_dip
    union all
    select * from deleveraging
    union all
    select * from healthy_funding
    union all
    select * from funding_normalization
    union all
    select * from dense_liquidation_zone
    union all
    select * from capitulation
    union all
    select * from upside_setup
    union all
    select * from extreme_positive_funding
    union all
    select * from extreme_negative_funding
    union all
    select * from top_risk
    union all
    select * from bottom_zone
    union all
    select * from large_liquidations
    union all
    select * from systemic_risk
    union all
    select * from long_crowded
    union all
    select * from short_crowded
    union all
    select * from lending_stress
    union all
    select * from perp_dex_stress

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
            then 0.01e0
                + (1 - 0.01e0) * coalesce(signals.past_threshold, 0e0)
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
inner join marts.dim_signal as dim_signal on signals.signal = dim_signal.signal
