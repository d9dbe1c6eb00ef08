-- Minutes of cascades: those above their border, which make the cascade, and the active ones between two of them.
with minutes as (
    select * from {{ ref('int_liquidation_minutes') }}
),

hot as (
    select
        asset,
        minute_at,
        lag(minute_at) over series as hot_before,
        lead(minute_at) over series as hot_after
    from minutes
    where is_hot
    window series as (partition by asset order by minute_at)
),

starts as (
    select
        *,
        coalesce(minute_at > hot_before + interval '{{ threshold("cascade_gap_minutes") }}' minute, true) as is_start
    from hot
),

sessions as (
    select
        asset,
        minute_at,
        hot_after,
        max(case when is_start then minute_at end) over (
            partition by asset order by minute_at rows between unbounded preceding and current row
        ) as started_at
    from starts
),

-- Every hot minute reaches over the gap behind it. Before the next hot one these are minutes of the same cascade; and
-- they are the time during which another asset's cascade happens at once.
reached as (
    select
        sessions.asset,
        sessions.started_at,
        cast(sessions.minute_at + cast(ahead.minutes as int) * interval '1' minute as timestamp) as minute_at,
        sessions.minute_at as hot_at,
        sessions.hot_after,
        ahead.minutes = 0 as is_hot
    from sessions
    cross join range(0, {{ threshold('cascade_gap_minutes') }} + 1) as ahead (minutes)
),

at_once as (
    select minute_at, cast(count(distinct asset) as int) as assets_at_once
    from reached
    group by minute_at
),

inside as (
    select asset, started_at, minute_at, is_hot
    from reached
    where
        is_hot
        or (
            minute_at < hot_after
            and hot_after <= hot_at + interval '{{ threshold("cascade_gap_minutes") }}' minute
        )
)

select
    inside.asset,
    inside.started_at,
    inside.minute_at,
    inside.is_hot,
    case when inside.is_hot then at_once.assets_at_once end as assets_at_once,
    minutes.trade_date,
    minutes.notional_usd,
    minutes.long_usd,
    minutes.short_usd,
    minutes.events,
    minutes.available_at
from inside
inner join minutes on inside.asset = minutes.asset and inside.minute_at = minutes.minute_at
left join at_once on inside.minute_at = at_once.minute_at
