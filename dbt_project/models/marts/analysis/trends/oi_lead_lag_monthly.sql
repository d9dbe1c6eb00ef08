-- Whether open interest moves before price or after it: the cross-correlation of its change with the return by lag, as
-- it stood when each month began. A year of days does not change its mind overnight, so a profile holds for a month:
-- 21 rows a day would say the same thirty times.
with oi as (
    select
        asset,
        trade_date,
        -- Too small a part of the market must not speak for all of it.
        case
            when oi_compared_share_1d >= {{ threshold('oi_comparable_share_min') }} then oi_log_change_1d
        end as oi_change,
        available_at
    from {{ ref('int_oi_across_venues_daily') }}
),

days as (
    select
        oi.asset,
        oi.trade_date,
        cast(date_trunc('month', oi.trade_date) as date) as trade_month,
        oi.oi_change,
        price.log_return,
        greatest(oi.available_at, price.available_at, cast(oi.trade_date + 1 as timestamp)) as available_at
    from oi
    left join {{ ref('fct_price_daily') }} as price on oi.asset = price.asset and oi.trade_date = price.trade_date
),

lags as (
    select cast(i as int) - {{ threshold('lead_lag_max_days') }} as lag_days
    from range(0, 2 * {{ threshold('lead_lag_max_days') }} + 1) as steps (i)
),

-- A change beside the return of lag_days later: above 0 open interest is first. The later day is named before it is
-- joined, since DuckDB would else pair all days of an asset.
shifted as (
    select
        days.asset,
        days.trade_date,
        lags.lag_days,
        days.trade_date + lags.lag_days as later_date,
        days.oi_change
    from days
    cross join lags
    where days.oi_change is not null
),

-- A pair is known when its later end is: it belongs to that month.
pairs as (
    select
        shifted.asset,
        shifted.lag_days,
        cast(date_trunc('month', greatest(shifted.trade_date, shifted.later_date)) as date) as trade_month,
        shifted.oi_change as x,
        days.log_return as y
    from shifted
    inner join days on shifted.asset = days.asset and shifted.later_date = days.trade_date
    where days.log_return is not null
),

-- Windows overlap by eleven months of twelve, so each month is summed once and the sums are added up.
sums as (
    select
        asset,
        lag_days,
        trade_month,
        count(*) as pairs,
        sum(x) as x1,
        sum(y) as y1,
        sum(x * x) as x2,
        sum(y * y) as y2,
        sum(x * y) as x1y1,
        sum(x * x * y) as x2y1,
        sum(x * y * y) as x1y2,
        sum(x * x * y * y) as x2y2,
        min(x) as x_low,
        max(x) as x_high,
        min(y) as y_low,
        max(y) as y_high
    from pairs
    group by asset, lag_days, trade_month
),

months as (
    select asset, trade_month, max(available_at) as available_at from days group by asset, trade_month
),

-- Every month of the asset, so that a window of N rows is a window of N months.
grid as (
    select
        months.asset,
        months.trade_month,
        lags.lag_days,
        months.available_at,
        sums.pairs,
        sums.x1, sums.y1, sums.x2, sums.y2, sums.x1y1, sums.x2y1, sums.x1y2, sums.x2y2,
        sums.x_low, sums.x_high, sums.y_low, sums.y_high
    from months
    cross join lags
    left join sums
        on months.asset = sums.asset and months.trade_month = sums.trade_month and lags.lag_days = sums.lag_days
),

windowed as (
    select
        asset,
        trade_month,
        lag_days,
        coalesce(sum(pairs) over year_before, 0) as n,
        sum(x1) over year_before as x1,
        sum(y1) over year_before as y1,
        sum(x2) over year_before as x2,
        sum(y2) over year_before as y2,
        sum(x1y1) over year_before as x1y1,
        sum(x2y1) over year_before as x2y1,
        sum(x1y2) over year_before as x1y2,
        sum(x2y2) over year_before as x2y2,
        max(x_high) over year_before > min(x_low) over year_before
        and max(y_high) over year_before > min(y_low) over year_before as is_moving,
        max(available_at) over earlier as available_at
    from grid
    window
        year_before as (
            partition by asset, lag_days
            order by trade_month {{ stats_rows_before(threshold('lead_lag_window_months')) }}
        ),
        earlier as (
            partition by asset, lag_days order by trade_month rows between unbounded preceding and 1 preceding
        )
),

centered as (
    select
        *,
        x1 / n as x_mean,
        y1 / n as y_mean,
        x2 - x1 * x1 / n as xx,
        y2 - y1 * y1 / n as yy,
        x1y1 - x1 * y1 / n as xy
    from windowed
    where n >= {{ threshold('lead_lag_min_pairs') }} and is_moving
),

-- White's standard error of a correlation of 0: days that move a lot weigh a lot, and their calm neighbors are no
-- evidence against chance. xxyy is the sum of (x - its mean)^2 (y - its mean)^2, written out in the sums above.
correlated as (
    select
        asset,
        trade_month,
        lag_days,
        {{ stats_snap('xy / sqrt(xx * yy)') }} as correlation,
        {{ stats_snap(threshold('lead_lag_band_errors') ~ " * sqrt(greatest(
            x2y2 - 2 * y_mean * x2y1 - 2 * x_mean * x1y2
            + y_mean * y_mean * x2 + x_mean * x_mean * y2 + 4 * x_mean * y_mean * x1y1
            - 3 * n * x_mean * x_mean * y_mean * y_mean,
            0
        ) / (xx * yy))") }} as correlation_band
    from centered
    -- A series that moves by less than rounding does not move.
    where xx > 0 and yy > 0
),

ranked as (
    select
        *,
        abs(correlation) > correlation_band as is_outside_band,
        row_number() over (
            partition by asset, trade_month, abs(correlation) > correlation_band
            order by abs(correlation) desc, abs(lag_days), lag_days
        ) as place
    from correlated
)

select
    windowed.asset,
    windowed.trade_month,
    windowed.lag_days,
    cast(windowed.n as int) as pairs,
    ranked.correlation,
    ranked.correlation_band,
    ranked.is_outside_band,
    coalesce(ranked.is_outside_band and ranked.place = 1, false) as is_best,
    greatest(windowed.available_at, cast(windowed.trade_month as timestamp)) as available_at
from windowed
left join ranked
    on
        windowed.asset = ranked.asset
        and windowed.trade_month = ranked.trade_month
        and windowed.lag_days = ranked.lag_days
