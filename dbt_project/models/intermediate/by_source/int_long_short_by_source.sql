with states as (
    select * from {{ ref('stg_long_short_ratios') }}
    where {{ needs_rebuild('int_long_short_by_source', 'trade_date') }}
)

select
    source,
    venue,
    instrument,
    measure,
    period,
    cast(period_minutes as int) as period_minutes,
    max_by(long_share, event_at) as long_share_last,
    avg(long_share) as long_share_mean,
    cast(count(*) as bigint) as observations,
    max(available_at) as available_at,
    trade_date
from states
group by source, venue, instrument, measure, period, period_minutes, trade_date
