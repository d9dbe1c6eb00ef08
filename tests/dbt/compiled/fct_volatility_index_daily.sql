with candles as (
    select * from intermediate.int_volatility_index_by_source
),

source_ranks as (
    select * from intermediate.int_source_ranks
),

judged as (
    select
        candles.*,
        source_ranks.precedence,
        case when candles.period_minutes is not null then least(1e0, candles.periods_present * candles.period_minutes / 1440e0) end as day_completeness
    from candles
    left join source_ranks on candles.source = source_ranks.source
),

chosen as (
    select *
    from judged
    qualify
        row_number() over (
            partition by venue, index_name, trade_date
            order by day_completeness desc nulls last, precedence nulls last, period_minutes nulls last, source
        ) = 1
)

-- An index is named by what it is and of what: DVOL-BTC.
select
    venue,
    split_part(index_name, '-', 2) as asset,
    index_name,
    trade_date,
    iv_close,
    iv_high,
    iv_low,
    day_completeness,
    period as input_grain,
    source as sources,
    available_at
from chosen
