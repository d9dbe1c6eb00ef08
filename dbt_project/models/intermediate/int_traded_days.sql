-- Whether an instrument was traded on a day: by any of its sources, a volume above zero, no stated volume, or a price
-- that moved.
with days as (
    select
        *,
        lag(close) over (partition by source, venue, instrument, market, period order by trade_date) as close_before
    from {{ ref('int_candles_by_source') }}
    where market in ('perp', 'spot')
)

select
    venue,
    instrument,
    trade_date,
    bool_or(
        last_traded_at is not null or coalesce(high > low, false) or coalesce(close <> close_before, false)
    ) as is_traded,
    min(first_traded_at) as first_traded_at,
    max(last_traded_at) as last_traded_at,
    max(available_at) as available_at
from days
group by venue, instrument, trade_date
