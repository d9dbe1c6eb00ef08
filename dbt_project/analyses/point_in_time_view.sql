-- Question: What would a decision have rested on at noon (UTC) of the day bitcoin fell most, without hindsight?
-- Unit: one row per asset: the newest rows that could be known at that instant, and how old they were in hours.
-- Trust: this is the join for testing ideas on the past: available_at and never trade_date. It holds for the day's
-- inputs; a source imported later as a file counts with the time its publisher says it appeared.
with decision as (
    select cast(trade_date as timestamp) + interval '12' hour as decided_at
    from {{ ref('oi_trends_daily') }}
    where asset = 'BTC' and quadrant <> 'unknown'
    order by log_return asc
    limit 1
),

known as (
    select
        oi.asset,
        oi.trade_date,
        oi.available_at,
        decision.decided_at,
        oi.oi_growth_7d,
        oi.quadrant,
        oi.oi_zscore_90d
    from {{ ref('oi_trends_daily') }} as oi
    inner join decision on oi.available_at <= decision.decided_at
    where oi.trade_date > cast(decision.decided_at as date) - 9
    qualify row_number() over (partition by oi.asset order by oi.trade_date desc) = 1
)

select
    known.asset,
    known.trade_date,
    cast(extract(hour from (known.decided_at - known.available_at)) as int)
    + 24 * cast(extract(day from (known.decided_at - known.available_at)) as int) as hours_old,
    known.quadrant,
    known.oi_growth_7d,
    known.oi_zscore_90d,
    funding.regime,
    funding.excess_rate_percentile_90d
from known
left join {{ ref('funding_regimes_daily') }} as funding
    on known.asset = funding.asset and known.trade_date = funding.trade_date
    and known.decided_at >= funding.available_at
order by known.asset
