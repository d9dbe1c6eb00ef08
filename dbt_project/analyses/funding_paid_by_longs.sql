-- Question: What did longs of bitcoin pay in funding over the last thirty days, in percent of their position?
-- Unit: one row per venue: percent of the position over the thirty days (1 is 1%), with the days that are known.
-- Trust: each day's mean rate per 8 hours times three, added up without compounding; days without a settlement count as
-- nothing paid, so compare venues with 30 days_known only.
select
    venue,
    count(rate_8h) as days_known,
    100 * sum(3 * rate_8h) as paid_percent,
    min(trade_date) as first_day,
    max(trade_date) as last_day
from {{ ref('fct_funding_daily') }}
where
    asset = 'BTC'
    and trade_date > (
        select max(newest.trade_date) from {{ ref('fct_funding_daily') }} as newest where newest.asset = 'BTC'
    ) - 30
group by venue
order by paid_percent desc, venue asc
