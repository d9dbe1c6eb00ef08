-- Question: How much was liquidated per day, everywhere?
-- Unit: one row per day and measure: US dollars, with the events that no price was found for.
-- Trust: position notional, collateral seized and debt repaid are three measures of different things and are never
-- added up. A sum over amounts that are all unknown is unknown, not zero.
select
    trade_date,
    measure,
    sum(notional_usd) as notional_usd,
    sum(events) as events,
    sum(unpriced_events) as unpriced_events,
    count(distinct venue) as venues
from {{ ref('fct_liquidations_daily') }}
group by trade_date, measure
order by trade_date, measure
