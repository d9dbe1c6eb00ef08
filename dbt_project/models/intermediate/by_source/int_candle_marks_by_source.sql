with candles as (
    select * from {{ ref('stg_candles') }}
    where {{ needs_rebuild('int_candle_marks_by_source', 'trade_date') }}
        and market = 'perp'
        and period_minutes <= {{ threshold('cascade_mark_minutes') }}
)

select
    source,
    venue,
    instrument,
    period,
    cast(period_minutes as int) as period_minutes,
    closed_at as marked_at,
    close,
    available_at,
    trade_date
from candles
where mod(cast(extract(minute from closed_at) as int), {{ threshold('cascade_mark_minutes') }}) = 0
