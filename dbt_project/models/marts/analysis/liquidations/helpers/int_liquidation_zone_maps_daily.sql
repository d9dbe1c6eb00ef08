-- H06: the map of price zones of each day, made of the days before. A zone is a run of adjacent dense steps of the
-- map; a step is a few bins of the heatmap together.
with bins as (
    select
        asset,
        trade_date,
        cast(floor(bin_no / cast({{ threshold('zone_bins') }} as double)) as int) as step_no,
        sum(notional_usd) as notional_usd
    from {{ ref('int_liquidation_bins') }}
    group by asset, trade_date, step_no
),

days as (
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
        greatest(days.available_at, prices.available_at) as available_at
    from days
    left join {{ ref('fct_price_daily') }} as prices
        on days.asset = prices.asset and days.trade_date = prices.trade_date
),

judged_days as (
    select asset, trade_date, close_usd, available_at
    from closes
    where days_known = {{ threshold('zone_window_days') }} and close_usd is not null
),

lasting as (
    select
        *,
        coalesce(
            lead(trade_date) over (partition by asset, step_no order by trade_date), date '9999-12-31'
        ) as next_seen
    from bins
),

-- A step stays on the map for the window's days after it was last hit. Each hit enters with its own day and counts from
-- the day after; other days matter only where they are judged.
on_map as (
    select
        lasting.asset,
        lasting.step_no,
        lasting.trade_date + cast(ahead.days as int) as trade_date,
        case when ahead.days = 0 then lasting.notional_usd end as hit_usd
    from lasting
    cross join range(0, {{ threshold('zone_window_days') }} + 1) as ahead (days)
    where lasting.trade_date + cast(ahead.days as int) < lasting.next_seen
),

summed as (
    select
        on_map.asset,
        on_map.trade_date,
        on_map.step_no,
        judged_days.close_usd,
        {{ liquidation_snap('sum(on_map.hit_usd) over days_before') }} as step_usd
    from on_map
    left join judged_days on on_map.asset = judged_days.asset and on_map.trade_date = judged_days.trade_date
    where judged_days.asset is not null or on_map.hit_usd is not null
    window days_before as (
        partition by on_map.asset, on_map.step_no
        order by on_map.trade_date
        range between interval '{{ threshold("zone_window_days") }}' day preceding and interval '1' day preceding
    )
),

map_steps as (
    select
        asset,
        trade_date,
        close_usd,
        step_no,
        step_usd
    from summed
    where close_usd is not null and step_usd is not null
),

borders as (
    select
        asset,
        trade_date,
        percentile_cont({{ threshold('zone_dense_quantile') }}) within group (order by step_usd) as border_usd
    from map_steps
    group by asset, trade_date
),

dense as (
    select
        map_steps.*,
        map_steps.step_no - row_number() over (
            partition by map_steps.asset, map_steps.trade_date order by map_steps.step_no
        ) as island
    from map_steps
    inner join borders on map_steps.asset = borders.asset and map_steps.trade_date = borders.trade_date
    where map_steps.step_usd > {{ liquidation_snap('borders.border_usd') }}
),

zones as (
    select
        asset,
        trade_date,
        cast(min(step_no) as int) as zone_id,
        max(close_usd) as close_usd,
        {{ liquidation_bin_low('min(step_no) * ' ~ threshold('zone_bins')) }} as low_usd,
        {{ liquidation_bin_low('(max(step_no) + 1) * ' ~ threshold('zone_bins')) }} as high_usd,
        -- By bins, not by prices: a close on an edge is in the bin above, whatever the last digits of the edge are.
        {{ liquidation_bin('max(close_usd)') }} between
        min(step_no) * {{ threshold('zone_bins') }} and (max(step_no) + 1) * {{ threshold('zone_bins') }} - 1
            as is_inside,
        sum(step_usd) as zone_usd
    from dense
    group by asset, trade_date, island
),

measured as (
    select
        *,
        case when is_inside then 0e0 else {{ liquidation_distance('low_usd', 'high_usd', 'close_usd') }} end as distance
    from zones
),

distances as (
    select
        *,
        {{ stats_snap('abs(distance)') }} as zone_distance
    from measured
)

select
    distances.asset,
    distances.trade_date,
    distances.zone_id,
    distances.low_usd,
    distances.high_usd,
    distances.zone_usd,
    distances.close_usd,
    distances.is_inside,
    distances.distance,
    distances.zone_distance,
    case
        when distances.is_inside then 'inside'
        when {{ signal_condition('dense_liquidation_zone', 'distances') }} then 'near'
        else 'outside'
    end as zone_state,
    judged_days.available_at
from distances
inner join judged_days on distances.asset = judged_days.asset and distances.trade_date = judged_days.trade_date
