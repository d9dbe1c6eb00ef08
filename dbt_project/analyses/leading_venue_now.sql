-- Question: Which venue has the most open interest in each asset now, and what share is that?
-- Unit: one row per asset: share of the open interest in dollars of the venues that reported that day.
-- Trust: a share of what is reported here. Where venues_present is below venues_expected, or a venue is not followed at
-- all, the true share is smaller.
select
    asset,
    trade_date,
    largest_venue,
    largest_venue_share,
    oi_usd,
    venues_present,
    venues_expected
from {{ ref('latest_by_asset') }}
order by oi_usd desc nulls last, asset asc
