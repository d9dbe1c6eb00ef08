with events as (
    select * from {{ ref('stg_liquidations') }}
    where {{ needs_rebuild('int_liquidation_events_by_source_hourly', 'trade_date') }}
        and not is_adl
)

select
    source,
    venue,
    instrument,
    side,
    cast(date_trunc('hour', occurred_at) as timestamp) as opened_at,
    cast(count(*) as bigint) as events,
    sum(notional_usd) as notional_usd,
    cast(count(*) filter (where notional_usd is null) as bigint) as unpriced_events,
    sum(quantity_base) filter (where notional_usd is null) as unpriced_base,
    trade_date
from events
group by source, venue, instrument, side, date_trunc('hour', occurred_at), trade_date
