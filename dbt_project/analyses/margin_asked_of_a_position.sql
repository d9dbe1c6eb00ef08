-- Question: What leverage does each venue allow on ten million dollars of bitcoin, and at what move is it liquidated?
-- Unit: one row per venue, instrument and version of its limits; rates are fractions of the position's value.
-- Trust: rows with limits in coins or contracts use the newest close of bitcoin at any venue. The distance to
-- liquidation is that of a single position in isolated margin at the largest leverage, before fees and funding. A
-- version holds from valid_from to valid_to; nothing is known before the first capture.
with price as (
    select max_by(close_usd, trade_date) as close_usd
    from {{ ref('fct_price_daily') }}
    where asset = 'BTC'
),

bounds as (
    select
        r.*,
        coalesce(r.lower_bound_usd, r.lower_bound_base * p.close_usd) as from_usd,
        coalesce(r.upper_bound_usd, r.upper_bound_base * p.close_usd) as to_usd
    from {{ ref('risk_tiers') }} as r
    cross join price as p
    where r.asset = 'BTC' and r.schedule = 'default'
)

select
    venue,
    instrument,
    tier,
    valid_from,
    valid_to,
    max_leverage,
    initial_margin_rate,
    maintenance_margin_rate,
    initial_margin_rate - maintenance_margin_rate
    + coalesce(maintenance_deduction, 0) / 10000000 as adverse_move_to_liquidation
from bounds
where from_usd < 10000000 and coalesce(to_usd >= 10000000, true)
order by max_leverage desc, venue asc, instrument asc, valid_from asc
