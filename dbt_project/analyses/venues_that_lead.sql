-- Question: Which venue's open interest moves first, before that of the others?
-- Unit: one row per asset and venue of the newest month: correlations without unit of the venue's change with that of
-- the others a day later (leads) and a day before (follows).
-- Trust: daily changes see no lead of minutes. verdict says leads or follows only where the difference is beyond the
-- band; of many venues and assets some pass by chance.
select
    asset,
    trade_month,
    venue,
    verdict,
    correlation_leads,
    correlation_follows,
    lead_difference,
    difference_band,
    pairs
from {{ ref('venue_lead_lag_monthly') }}
qualify row_number() over (partition by asset, venue order by trade_month desc) = 1
order by asset asc, lead_difference desc nulls last, venue asc
