-- Question: On which venues is open interest held, and how concentrated is it? (H13)
-- Unit: one row per asset and venue on the asset's newest day; coins, US dollars, share of the total a fraction, HHI
-- 0 to 1.
-- Trust: concentration is that of the venues the warehouse has. One venue gives 1 and says nothing about the market.
with newest as (
    select asset, max(trade_date) as trade_date
    from {{ ref('oi_trends_daily') }}
    where oi_base is not null
    group by asset
)

select
    venues.asset,
    venues.trade_date,
    venues.venue,
    venues.oi_base,
    venues.oi_usd,
    venues.oi_base / nullif(totals.oi_base, 0) as share_of_total,
    totals.oi_hhi,
    totals.venues_present,
    totals.venue_share
from newest
inner join {{ ref('fct_open_interest_daily') }} as venues
    on newest.asset = venues.asset and newest.trade_date = venues.trade_date
inner join {{ ref('oi_trends_daily') }} as totals
    on newest.asset = totals.asset and newest.trade_date = totals.trade_date
order by totals.venues_present desc, venues.asset asc, venues.oi_base desc nulls last
limit 100
