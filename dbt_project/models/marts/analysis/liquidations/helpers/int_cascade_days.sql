-- Whether an asset cascaded on a day: by its minutes where events are known on the day and the week before, else by the
-- day's total against the days before. Only minutes above their border count here, so that no later day changes a row.
with days as (
    select
        *,
        count(*) filter (where has_events) over week_before as event_days_known,
        count(notional_usd) over days_before as total_days_known,
        {{ stats_where_full(
            stats_rolling_quantile('notional_usd', threshold('cascade_daily_quantile'), 'days_before'),
            'notional_usd', threshold('cascade_daily_days'), 'days_before'
        ) }} as border_usd
    from {{ ref('int_liquidation_days') }}
    window
        week_before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('cascade_median_days')) }}
        ),
        days_before as (
            partition by asset order by trade_date {{ stats_rows_before(threshold('cascade_daily_days')) }}
        )
),

judgeable as (
    select
        asset,
        trade_date,
        count(*) filter (where is_hot is null) as minutes_unjudged,
        max(1 - border_usd / notional_usd) filter (where is_hot) as border_excess
    from {{ ref('int_liquidation_minutes') }}
    group by asset, trade_date
),

hot as (
    select
        asset,
        trade_date,
        cast(count(distinct started_at) as int) as minute_cascades,
        sum(notional_usd) as cascade_usd,
        sum(long_usd) as long_usd,
        sum(short_usd) as short_usd,
        max(assets_at_once) as assets_at_once
    from {{ ref('int_cascade_minutes') }}
    where is_hot
    group by asset, trade_date
),

grained as (
    select
        days.*,
        {{ liquidation_snap('days.notional_usd') }} as liquidated_usd,
        {{ liquidation_snap('days.border_usd') }} as liquidated_border_usd,
        case
            when days.has_events and days.event_days_known = {{ threshold('cascade_median_days') }} then 'minute'
            when days.total_days_known = {{ threshold('cascade_daily_days') }} and days.notional_usd is not null
                then 'daily'
            else 'none'
        end as input_grain
    from days
),

judged as (
    select
        grained.*,
        hot.minute_cascades,
        hot.cascade_usd,
        hot.long_usd as cascade_long_usd,
        hot.short_usd as cascade_short_usd,
        hot.assets_at_once as minute_assets_at_once,
        judgeable.border_excess as minute_border_excess,
        case grained.input_grain
            when 'minute'
                then case
                    when {{ signal_comparison('large_liquidations', 'minute_cascades', 'hot') }} then 'on'
                    when judgeable.minutes_unjudged > 0 then 'unknown'
                    else 'off'
                end
            when 'daily'
                then {{ stats_state(
                    signal_comparison('large_liquidations', 'liquidated_usd', 'grained'),
                    ['grained.liquidated_usd', 'grained.liquidated_border_usd']
                ) }}
            else 'unknown'
        end as state
    from grained
    left join hot on grained.asset = hot.asset and grained.trade_date = hot.trade_date
    left join judgeable on grained.asset = judgeable.asset and grained.trade_date = judgeable.trade_date
),

-- Which assets cascade together is known when all of their days are.
markets as (
    select
        trade_date,
        cast(count(*) filter (where state = 'on') as int) as assets_on,
        max(available_at) as available_at
    from judged
    group by trade_date
)

select
    judged.asset,
    judged.trade_date,
    judged.state,
    judged.input_grain,
    case
        when judged.state = 'unknown' then null
        when judged.state = 'off' then 0
        when judged.input_grain = 'minute' then judged.minute_cascades
        else 1
    end as cascades,
    case
        when judged.state = 'unknown' then null
        when judged.state = 'off' then 0e0
        when judged.input_grain = 'minute' then judged.cascade_usd
        else judged.notional_usd
    end as cascade_usd,
    case
        when judged.state = 'unknown' then null
        when judged.state = 'off' then 0e0
        when judged.input_grain = 'minute' then judged.cascade_long_usd
        else judged.long_usd
    end as cascade_long_usd,
    case
        when judged.state = 'unknown' then null
        when judged.state = 'off' then 0e0
        when judged.input_grain = 'minute' then judged.cascade_short_usd
        else judged.short_usd
    end as cascade_short_usd,
    case
        when judged.state = 'unknown' then null
        when judged.state = 'off' then 0
        when judged.input_grain = 'minute' then judged.minute_assets_at_once
        else markets.assets_on
    end as assets_at_once,
    case
        when judged.state = 'unknown' then null
        when judged.state = 'off' then false
        when judged.input_grain = 'minute'
            then judged.minute_assets_at_once >= {{ threshold('cascade_market_assets') }}
        else markets.assets_on >= {{ threshold('cascade_market_assets') }}
    end as is_market_wide,
    judged.notional_usd,
    case when judged.input_grain = 'daily' then judged.border_usd end as daily_border_usd,
    case
        when judged.state <> 'on' then null
        when judged.input_grain = 'minute' then judged.minute_border_excess
        else 1 - judged.border_usd / judged.notional_usd
    end as border_excess,
    cast(judged.event_days_known as int) as event_days_known,
    cast(judged.total_days_known as int) as total_days_known,
    judged.venues_present,
    judged.venues_expected,
    judged.completeness,
    judged.sources,
    markets.available_at
from judged
inner join markets on judged.trade_date = markets.trade_date
