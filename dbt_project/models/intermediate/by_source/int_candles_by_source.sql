with candles as (
    select * from {{ ref('stg_candles') }}
    where {{ needs_rebuild('int_candles_by_source', 'trade_date') }}
)

select
    source,
    venue,
    instrument,
    market,
    period,
    cast(period_minutes as int) as period_minutes,
    max_by(close, opened_at) as close,
    -- Without trade a candle repeats the price before it: of a contract that is over, or of the one before.
    coalesce(max(high) filter (where coalesce(volume_base, 1) > 0), max(high)) as high,
    coalesce(min(low) filter (where coalesce(volume_base, 1) > 0), min(low)) as low,
    max(closed_at) as closed_at,
    -- A source that states no volume tells of prices at which there was trade.
    min(opened_at) filter (where coalesce(volume_base, 1) > 0) as first_traded_at,
    max(closed_at) filter (where coalesce(volume_base, 1) > 0) as last_traded_at,
    sum(volume_base) as volume_base,
    sum(volume_quote) as volume_quote,
    -- What takers bought of a day is known where it is of every candle; at the candle's average price.
    case when count(taker_buy_base) = count(*) then sum(taker_buy_base) end as taker_buy_base,
    case
        when count(taker_buy_base) = count(*)
            then sum(taker_buy_base * coalesce(volume_quote / nullif(volume_base, 0), close))
    end as taker_buy_quote,
    cast(count(*) as bigint) as periods_present,
    max(available_at) as available_at,
    trade_date
from candles
group by source, venue, instrument, market, period, period_minutes, trade_date
