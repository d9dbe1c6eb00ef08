-- Question: After a fall, does it matter whether open interest grew into it or shrank? (H03)
-- Unit: one row per kind of fall; days are counts, returns fractions over the 1 and 7 days after, volatility a log
-- per day, all from the first close at which the fall was known.
-- Trust: falls cluster, so thousands of days are a few dozen market events. Returns look ahead on purpose. Days whose
-- open interest could not be compared with the day before are unknown and left out.
with falls as (
    select asset, divergence, log_return, cast(available_at - interval '1' microsecond as date) as known_date
    from {{ ref('oi_trends_daily') }}
    where divergence in ('bought_dip', 'deleveraging', 'neutral')
),

closes as (
    select
        asset,
        trade_date as known_date,
        close_usd,
        max(case when log_return is not null then close_usd end) over one_day as close_after_1d,
        max(log_return) over one_day as log_return_after_1d,
        max(close_usd) over seven_days as close_after_7d
    from {{ ref('fct_price_daily') }}
    window
        one_day as (
            partition by asset order by trade_date
            range between interval '1' day following and interval '1' day following
        ),
        seven_days as (
            partition by asset order by trade_date
            range between interval '7' day following and interval '7' day following
        )
)

select
    falls.divergence,
    count(*) as days,
    avg(falls.log_return) as mean_log_return_of_the_day,
    avg(closes.close_after_1d / closes.close_usd - 1) as mean_return_1d,
    avg(closes.close_after_7d / closes.close_usd - 1) as mean_return_7d,
    stddev_samp(closes.log_return_after_1d) as volatility_of_the_next_day
from falls
inner join closes on falls.asset = closes.asset and falls.known_date = closes.known_date
where closes.close_after_7d is not null
group by falls.divergence
order by falls.divergence
