-- H06: where the day's close stands on the map of price zones: the zone that is nearest, of all that the map has.
with days as (
    select
        asset,
        trade_date,
        count(notional_usd) over days_before as days_known,
        available_at
    from {{ ref('int_liquidation_days') }}
    window days_before as (
        partition by asset order by trade_date {{ stats_rows_before(threshold('zone_window_days')) }}
    )
),

closes as (
    select
        days.asset,
        days.trade_date,
        prices.close_usd,
        days.days_known,
        days.days_known = {{ threshold('zone_window_days') }} and prices.close_usd is not null as is_judged,
        greatest(days.available_at, prices.available_at) as available_at
    from days
    left join {{ ref('fct_price_daily') }} as prices
        on days.asset = prices.asset and days.trade_date = prices.trade_date
),

zones as (
    select
        *,
        cast(count(*) over (partition by asset, trade_date) as int) as zones
    from {{ ref('int_liquidation_zone_maps_daily') }}
),

nearest as (
    select *
    from zones
    qualify
        row_number() over (
            partition by asset, trade_date order by abs(distance) asc, zone_usd desc, low_usd asc
        ) = 1
)

select
    closes.asset,
    closes.trade_date,
    case when closes.is_judged then coalesce(nearest.zone_state, 'outside') else 'unknown' end as zone_state,
    nearest.low_usd as nearest_zone_low_usd,
    nearest.high_usd as nearest_zone_high_usd,
    nearest.distance as nearest_zone_distance,
    nearest.zone_usd,
    case when closes.is_judged then coalesce(nearest.zones, 0) end as zones,
    closes.close_usd,
    cast(closes.days_known as int) as days_known,
    closes.available_at
from closes
left join nearest on closes.asset = nearest.asset and closes.trade_date = nearest.trade_date
