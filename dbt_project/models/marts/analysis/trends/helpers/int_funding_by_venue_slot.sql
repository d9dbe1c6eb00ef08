-- Funding per venue at the two frequencies regimes are judged at: slots of eight hours where single settlements are
-- known (frequency settlement), and days everywhere (frequency daily). With each rate the weights known before its day
-- began.
with slots as (
    select
        'settlement' as frequency,
        venue,
        asset,
        trade_date,
        cast(floor(hour(settled_at) / cast({{ threshold('funding_slot_hours') }} as double)) as int) as slot,
        -- Eight hourly settlements and one of eight hours say the same thing once they are rates per eight hours.
        avg(rate_8h) as rate_8h,
        avg(excess_rate_8h) as excess_rate_8h,
        -- Their sources are those of the day, and stand there.
        cast(null as string) as sources,
        max(available_at) as available_at
    from {{ ref('int_funding_settlements') }}
    where input_grain = 'settlement'
    group by 2, 3, 4, 5
),

days as (
    select
        'daily' as frequency,
        venue,
        asset,
        trade_date,
        0 as slot,
        rate_8h,
        rate_8h - neutral_rate_8h as excess_rate_8h,
        sources,
        available_at
    from {{ ref('fct_funding_daily') }}
    where rate_8h is not null
),

points as (
    select * from slots
    union all
    select * from days
)

select
    points.frequency,
    points.venue,
    points.asset,
    points.trade_date,
    points.slot,
    points.rate_8h,
    points.excess_rate_8h,
    -- The last open interest at or before a settlement is the close of the day before. Zero weighs nothing.
    nullif(oi.oi_usd, 0) as oi_usd_before,
    nullif(volume.volume_usd, 0) as volume_usd_before,
    concat_ws(',', points.sources, oi.sources, volume.sources) as sources,
    greatest(points.available_at, oi.available_at, volume.available_at) as available_at
from points
left join {{ ref('int_oi_by_venue_daily') }} as oi
    on points.venue = oi.venue and points.asset = oi.asset and oi.trade_date = points.trade_date - 1
left join {{ ref('int_perp_volume_by_venue_daily') }} as volume
    on points.venue = volume.venue and points.asset = volume.asset and volume.trade_date = points.trade_date - 1
