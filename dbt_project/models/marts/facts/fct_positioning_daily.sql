with instruments as (
    select * from {{ ref('int_long_short_daily') }}
),

days as (
    select
        venue,
        asset,
        measure,
        trade_date,
        avg(long_share) as long_share,
        cast(count(*) as int) as instruments,
        max_by(period, period_minutes) as input_grain,
        {{ sorted_list('source') }} as sources,
        max(available_at) as available_at
    from instruments
    group by venue, asset, measure, trade_date
)

select
    venue,
    asset,
    measure,
    trade_date,
    long_share / nullif(1e0 - long_share, 0) as ratio,
    long_share,
    instruments,
    input_grain,
    sources,
    available_at
from days
