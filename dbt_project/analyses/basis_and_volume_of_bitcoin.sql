-- Question: How far was the perpetual of bitcoin from spot in the last thirty days, and on what volume?
-- Unit: one row per day: basis as a fraction, volumes in bitcoin.
-- Trust: volumes are comparable between days with the same volume_venues only; with another number of venues the sum is
-- of another market.
select
    trade_date,
    close_usd,
    basis,
    volume_base,
    spot_volume_base,
    volume_venues
from {{ ref('fct_price_daily') }}
where asset = 'BTC'
order by trade_date desc
limit 30
