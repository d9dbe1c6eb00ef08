-- Question: After a fall, does it matter whether open interest grew into it or shrank? (H03)
-- Unit: one row per kind of fall; days are counts, returns fractions over the 1 and 7 days after, volatility a log
-- per day, all from the first close at which the fall was known.
-- Trust: falls cluster, so thousands of days are a few dozen market events. Returns look ahead on purpose. Days whose
-- open interest could not be compared with the day before are unknown and left out.
select
    fall.divergence,
    count(*) as days,
    avg(fall.log_return) as mean_log_return_of_the_day,
    avg(next_day.close_usd / entry.close_usd - 1) as mean_return_1d,
    avg(next_week.close_usd / entry.close_usd - 1) as mean_return_7d,
    stddev_samp(next_day.log_return) as volatility_of_the_next_day
from {{ ref('oi_trends_daily') }} as fall
inner join {{ ref('fct_price_daily') }} as entry
    on fall.asset = entry.asset and entry.trade_date = cast(fall.available_at - interval '1' microsecond as date)
inner join {{ ref('fct_price_daily') }} as next_day
    on entry.asset = next_day.asset and next_day.trade_date = entry.trade_date + 1
inner join {{ ref('fct_price_daily') }} as next_week
    on entry.asset = next_week.asset and next_week.trade_date = entry.trade_date + 7
where fall.divergence in ('bought_dip', 'deleveraging', 'neutral')
group by fall.divergence
order by fall.divergence
