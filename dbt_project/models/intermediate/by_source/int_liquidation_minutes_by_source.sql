with events as (
    select * from {{ ref('stg_liquidations') }}
    where {{ needs_rebuild('int_liquidation_minutes_by_source', 'trade_date') }}
        and not is_adl
)

select
    source,
    venue,
    instrument,
    side,
    cast(date_trunc('minute', occurred_at) as timestamp) as minute_at,
    cast(count(*) as bigint) as events,
    sum(quantity_base) as quantity_base,
    sum(notional_usd) as notional_usd,
    cast(count(*) filter (where notional_usd is null) as bigint) as unpriced_events,
    sum(quantity_base) filter (where notional_usd is null) as unpriced_base,
    max(available_at) as available_at,
    trade_date
from events
group by source, venue, instrument, side, date_trunc('minute', occurred_at), trade_date
