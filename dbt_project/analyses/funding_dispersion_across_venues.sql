-- Question: Do venues agree on the price of leverage, and which one prints the dearest?
-- Unit: one row per asset, day and venue where at least three venues report; fractions per 8 hours, distance from the
-- day's median likewise.
-- Trust: every venue's interval is observed and made comparable to 8 hours; neutral_rate_8h differs by venue, so part
-- of a spread is convention: compare above_neutral_8h.
with days as (
    select
        asset,
        trade_date,
        venue,
        rate_8h,
        rate_8h - neutral_rate_8h as above_neutral_8h,
        interval_hours,
        count(*) over (partition by asset, trade_date) as venues,
        median(rate_8h) over (partition by asset, trade_date) as median_rate_8h
    from {{ ref('fct_funding_daily') }}
    where rate_8h is not null
)

select
    asset,
    trade_date,
    venue,
    rate_8h,
    above_neutral_8h,
    rate_8h - median_rate_8h as above_median_8h,
    interval_hours,
    venues
from days
where venues >= 3 and asset = 'BTC'
order by trade_date desc, rate_8h desc nulls last
limit 200
