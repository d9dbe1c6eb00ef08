with venues as (
    select * from seeds.venues
)

select
    venue,
    venue_name,
    venue_kind,
    chain,
    liquidation_completeness,
    neutral_rate_8h,
    funding_interval_hours,
    price_rank,
    notes
from venues
