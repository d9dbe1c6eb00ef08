with states as (
    select * from {{ ref('stg_open_interest') }}
    where
        {{ needs_rebuild('int_open_interest_by_source', 'trade_date') }}
        -- No total includes a value that may count one side or both.
        and counting <> 'unknown'
)

select
    source,
    venue,
    instrument,
    period,
    cast(period_minutes as int) as period_minutes,
    -- A zero between other values is a gap in the venue's recording, wherever the record itself does not tell.
    coalesce(max_by(oi_base, event_at) filter (where oi_base > 0), max(oi_base)) as oi_base,
    coalesce(max_by(oi_usd, event_at) filter (where oi_usd > 0), max(oi_usd)) as oi_usd,
    coalesce(avg(oi_base) filter (where oi_base > 0), max(oi_base)) as oi_base_mean,
    max(oi_base) as oi_base_high,
    coalesce(min(oi_base) filter (where oi_base > 0), max(oi_base)) as oi_base_low,
    max(event_at) as last_event_at,
    cast(count(*) as bigint) as observations,
    max(available_at) as available_at,
    trade_date
from states
group by source, venue, instrument, period, period_minutes, trade_date
