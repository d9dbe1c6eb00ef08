-- Whether exchange liquidations run ahead of on-chain ones: their cross-correlation by lag once what the day's move
-- explains is taken out, and the band chance stays in, as they stood when each month began. The day-by-day view is
-- liquidation_comparison_daily's.
{%- set window_days = threshold('comparison_lag_window_days') | int %}
{%- set block_days = threshold('comparison_lag_block_days') | int %}
{%- set largest_lag = threshold('comparison_lag_max_days') | int %}

with kinds as (
    select
        asset,
        trade_date,
        venue_kind,
        {{ stats_priced_sum('notional_usd', 'unpriced_events') }} as notional_usd,
        max(available_at) as available_at
    from {{ ref('int_liquidations_by_venue_daily') }}
    where measure <> 'debt_repaid'
    group by asset, trade_date, venue_kind
),

totals as (
    select
        asset,
        trade_date,
        max(notional_usd) filter (where venue_kind = 'cex') as exchange_usd,
        max(notional_usd) filter (where venue_kind = 'perp_dex') as perp_dex_usd,
        max(notional_usd) filter (where venue_kind = 'lending') as lending_usd,
        max(available_at) as available_at
    from kinds
    group by asset, trade_date
),

on_chain as (
    select
        asset,
        trade_date,
        'perp_dex' as counterpart,
        exchange_usd,
        perp_dex_usd as on_chain_usd,
        available_at
    from totals
    union all
    select
        asset,
        trade_date,
        'lending' as counterpart,
        exchange_usd,
        lending_usd as on_chain_usd,
        available_at
    from totals
),

-- Days on which all three are known.
common_days as (
    select
        on_chain.asset,
        on_chain.counterpart,
        on_chain.trade_date,
        ln(1 + on_chain.exchange_usd) as exchange_log,
        ln(1 + on_chain.on_chain_usd) as on_chain_log,
        abs(price.log_return) as move,
        greatest(on_chain.available_at, price.available_at, cast(on_chain.trade_date + 1 as timestamp)) as available_at
    from on_chain
    inner join {{ ref('fct_price_daily') }} as price
        on on_chain.asset = price.asset and on_chain.trade_date = price.trade_date
    where on_chain.exchange_usd is not null and on_chain.on_chain_usd is not null and price.log_return is not null
),

last_days as (
    select asset, max(trade_date) as last_day from totals group by asset
),

-- Months that begin within the asset's liquidations and after a common day.
months as (
    select
        firsts.asset,
        firsts.counterpart,
        calendar.trade_date as trade_month
    from (
        select asset, counterpart, min(trade_date) as first_day from common_days group by asset, counterpart
    ) as firsts
    inner join last_days on firsts.asset = last_days.asset
    inner join {{ ref('int_calendar') }} as calendar
        on firsts.first_day < calendar.trade_date and last_days.last_day >= calendar.trade_date
    where day(calendar.trade_date) = 1
),

-- Every day of every window, so that a step of N rows is a step of N days.
windows as (
    select
        months.asset,
        months.counterpart,
        months.trade_month,
        cast(steps.i as int) as day_no,
        common_days.exchange_log,
        common_days.on_chain_log,
        common_days.move,
        common_days.available_at
    from months
    cross join range(0, {{ window_days }}) as steps (i)
    left join common_days
        on
            months.asset = common_days.asset
            and months.counterpart = common_days.counterpart
            and months.trade_month - {{ window_days }} + cast(steps.i as int) = common_days.trade_date
),

-- Without a spread of its own, a move explains nothing.
fits as (
    select
        asset,
        counterpart,
        trade_month,
        count(move) as common_days,
        avg(exchange_log) as exchange_mean,
        avg(on_chain_log) as on_chain_mean,
        avg(move) as move_mean,
        case when max(move) > min(move) then regr_slope(exchange_log, move) else 0e0 end as exchange_slope,
        case when max(move) > min(move) then regr_slope(on_chain_log, move) else 0e0 end as on_chain_slope,
        max(available_at) as available_at
    from windows
    group by asset, counterpart, trade_month
),

residuals as (
    select
        windows.asset,
        windows.counterpart,
        windows.trade_month,
        windows.day_no,
        windows.exchange_log - fits.exchange_mean - fits.exchange_slope * (windows.move - fits.move_mean) as exchange,
        windows.on_chain_log - fits.on_chain_mean - fits.on_chain_slope * (windows.move - fits.move_mean) as on_chain
    from windows
    inner join fits
        on
            windows.asset = fits.asset
            and windows.counterpart = fits.counterpart
            and windows.trade_month = fits.trade_month
    where fits.common_days >= {{ threshold('comparison_lag_min_days') }}
),

-- What is left of a series that its move explains whole is rounding, not spread.
spreads as (
    select
        asset,
        counterpart,
        trade_month,
        case
            when {{ stats_snap('avg(exchange * exchange) * avg(on_chain * on_chain)') }} > 0
                then sqrt(avg(exchange * exchange) * avg(on_chain * on_chain))
        end as spread
    from residuals
    group by asset, counterpart, trade_month
),

lags as (
    select cast(i as int) - {{ largest_lag }} as lag_days
    from range(0, 2 * {{ largest_lag }} + 1) as steps (i)
),

-- Exchanges of a day beside the chain of lag_days later: above 0 exchanges are first.
shifted as (
    select
        residuals.asset,
        residuals.counterpart,
        residuals.trade_month,
        residuals.day_no,
        lags.lag_days,
        residuals.day_no + lags.lag_days as later_day_no,
        residuals.exchange
    from residuals
    cross join lags
),

-- The correlation at a lag is the mean of these products.
products as (
    select
        shifted.asset,
        shifted.counterpart,
        shifted.trade_month,
        shifted.lag_days,
        cast(floor(shifted.day_no / cast({{ block_days }} as double)) as int) as block_no,
        shifted.exchange * later.on_chain / spreads.spread as product
    from shifted
    inner join spreads
        on
            shifted.asset = spreads.asset
            and shifted.counterpart = spreads.counterpart
            and shifted.trade_month = spreads.trade_month
    left join residuals as later
        on
            shifted.asset = later.asset
            and shifted.counterpart = later.counterpart
            and shifted.trade_month = later.trade_month
            and shifted.later_day_no = later.day_no
),

profiles as (
    select
        asset,
        counterpart,
        trade_month,
        lag_days,
        count(product) as pairs,
        avg(product) as correlation
    from products
    group by asset, counterpart, trade_month, lag_days
),

-- What a block adds to each correlation beyond its mean, as a share of all pairs.
blocks as (
    select
        products.asset,
        products.counterpart,
        products.trade_month,
        products.lag_days,
        products.block_no,
        coalesce(sum(products.product - profiles.correlation), 0) / nullif(max(profiles.pairs), 0) as deviation
    from products
    inner join profiles
        on
            products.asset = profiles.asset
            and products.counterpart = profiles.counterpart
            and products.trade_month = profiles.trade_month
            and products.lag_days = profiles.lag_days
    group by products.asset, products.counterpart, products.trade_month, products.lag_days, products.block_no
),

draws as ({{ stats_block_draws(threshold('comparison_lag_resamples'), window_days // block_days) }}),

-- Lags are columns here and nowhere else: as rows they would make the resampling, the longest step, four times as long.
block_deviations as (
    select
        asset,
        counterpart,
        trade_month,
        block_no,
        {%- for lag in range(-largest_lag, largest_lag + 1) %}
        max(deviation) filter (where lag_days = {{ lag }}) as deviation_{{ loop.index }}{{ ',' if not loop.last }}
        {%- endfor %}
    from blocks
    group by asset, counterpart, trade_month, block_no
),

-- A best lag is sought among all of them, so the band is that of the largest deviation of all.
resampled as (
    select
        block_deviations.asset,
        block_deviations.counterpart,
        block_deviations.trade_month,
        draws.resample,
        greatest(
            {%- for lag in range(-largest_lag, largest_lag + 1) %}
            abs(sum(draws.times * block_deviations.deviation_{{ loop.index }})){{ ',' if not loop.last }}
            {%- endfor %}
        ) as largest_deviation
    from block_deviations
    inner join draws on block_deviations.block_no = draws.block_no
    group by block_deviations.asset, block_deviations.counterpart, block_deviations.trade_month, draws.resample
),

bands as (
    select
        asset,
        counterpart,
        trade_month,
        {{ stats_snap(
            'percentile_cont(' ~ threshold('comparison_lag_confidence') ~ ') within group (order by largest_deviation)'
        ) }} as correlation_band
    from resampled
    group by asset, counterpart, trade_month
),

by_lag as (
    select
        asset,
        counterpart,
        trade_month,
        lag_days,
        pairs,
        {{ stats_snap('correlation') }} as correlation
    from profiles
),

judged as (
    select
        by_lag.asset,
        by_lag.counterpart,
        by_lag.trade_month,
        by_lag.lag_days,
        by_lag.pairs,
        by_lag.correlation,
        bands.correlation_band,
        abs(by_lag.correlation) > bands.correlation_band as is_outside_band,
        row_number() over (
            partition by by_lag.asset, by_lag.counterpart, by_lag.trade_month
            order by abs(by_lag.correlation) desc nulls last, abs(by_lag.lag_days), by_lag.lag_days
        ) as place
    from by_lag
    inner join bands
        on
            by_lag.asset = bands.asset
            and by_lag.counterpart = bands.counterpart
            and by_lag.trade_month = bands.trade_month
)

select
    fits.asset,
    fits.counterpart,
    fits.trade_month,
    lags.lag_days,
    cast(fits.common_days as int) as common_days,
    cast(coalesce(judged.pairs, 0) as int) as pairs,
    judged.correlation,
    case when judged.correlation is not null then judged.correlation_band end as correlation_band,
    judged.is_outside_band,
    coalesce(judged.is_outside_band and judged.place = 1, false) as is_best,
    greatest(fits.available_at, cast(fits.trade_month as timestamp)) as available_at
from fits
cross join lags
left join judged
    on
        fits.asset = judged.asset
        and fits.counterpart = judged.counterpart
        and fits.trade_month = judged.trade_month
        and lags.lag_days = judged.lag_days
