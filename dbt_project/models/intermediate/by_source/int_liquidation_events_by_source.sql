with events as (
    select * from {{ ref('stg_liquidations') }}
    where {{ needs_rebuild('int_liquidation_events_by_source', 'trade_date') }}
        and not is_adl
)

select
    source,
    venue,
    instrument,
    side,
    {{ worst_completeness('completeness') }} as completeness,
    cast(count(*) as bigint) as events,
    sum(quantity_base) as quantity_base,
    sum(notional_usd) as notional_usd,
    max(notional_usd) as largest_usd,
    cast(count(*) filter (where notional_usd is null) as bigint) as unpriced_events,
    sum(quantity_base) filter (where notional_usd is null) as unpriced_base,
    max(available_at) as available_at,
    trade_date
from events
group by source, venue, instrument, side, trade_date
