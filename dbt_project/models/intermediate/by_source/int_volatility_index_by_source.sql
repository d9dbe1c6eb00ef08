with candles as (
    select
        *,
        {{ period_minutes('period') }} as period_minutes
    from {{ ref('stg_volatility_index') }}
    where {{ needs_rebuild('int_volatility_index_by_source', 'trade_date') }}
)

select
    source,
    venue,
    index_name,
    period,
    cast(period_minutes as int) as period_minutes,
    max_by(close, opened_at) as iv_close,
    max(high) as iv_high,
    min(low) as iv_low,
    cast(count(*) as bigint) as periods_present,
    max(available_at) as available_at,
    trade_date
from candles
group by source, venue, index_name, period, period_minutes, trade_date
