-- Cascades of minutes where events are known, of days where only totals are; what the price did in and after them.
with minutes as (
    select
        *,
        row_number() over (
            partition by asset, started_at order by floor((notional_usd) * 1e6 + 0.5e0) / 1e6 desc, minute_at
        ) as size_rank
    from intermediate.int_cascade_minutes
),

days as (
    select * from intermediate.int_cascade_days
),

prices as (
    select
        asset,
        trade_date,
        log_return,
        available_at,
        lead(log_return) over series as next_log_return,
        lead(trade_date) over series as next_day,
        lead(available_at) over series as next_available_at
    from marts.fct_price_daily
    window series as (partition by asset order by trade_date)
),

dollar_instruments as (
    select
        i.venue,
        i.instrument,
        i.asset,
        i.valid_from,
        i.valid_to,
        v.price_rank
    from intermediate.int_instruments as i
    inner join seeds.assets as a on i.quote = a.asset and a.kind = 'stable'
    left join seeds.venues as v on i.venue = v.venue
),

of_minutes as (
    select
        asset,
        started_at,
        cast(started_at as date) as trade_date,
        cast(max(minute_at) + interval '1' minute as timestamp) as ended_at,
        max(case when size_rank = 1 then minute_at end) as peak_at,
        max(notional_usd) as peak_minute_usd,
        sum(notional_usd) as notional_usd,
        sum(long_usd) as long_usd,
        sum(short_usd) as short_usd,
        cast(sum(events) as bigint) as events,
        max(assets_at_once) as assets_at_once,
        max(available_at) as available_at
    from minutes
    group by asset, started_at
),

-- A cascade is over when the gap behind it has passed; across midnight it takes the next day's data to see that.
over as (
    select
        c.*,
        cast(
        date_trunc('hour', c.started_at) + cast(
            floor(extract(minute from c.started_at) / cast(5 as double)) as int
        ) * 5 * interval '1' minute as timestamp
    ) as started_mark,
        cast(
        date_trunc('hour', (c.ended_at + (5 - 1) * interval '1' minute)) + cast(
            floor(extract(minute from (c.ended_at + (5 - 1) * interval '1' minute)) / cast(5 as double)) as int
        ) * 5 * interval '1' minute as timestamp
    ) as ended_mark,
        greatest(
            c.available_at,
            cast(c.ended_at + 3 * interval '1' minute as timestamp),
            next_days.available_at,
            case
                when cast(c.ended_at + (3 - 1) * interval '1' minute as date)
                    > cast(c.ended_at - interval '1' minute as date)
                    then cast(cast(c.ended_at - interval '1' minute as date) + 2 as timestamp)
            end
        ) as known_at
    from of_minutes as c
    left join days as next_days
        on
            c.asset = next_days.asset
            and cast(c.ended_at - interval '1' minute as date) + 1 = next_days.trade_date
            and cast(c.ended_at + (3 - 1) * interval '1' minute as date)
            = next_days.trade_date
),

wanted as (
    select asset, started_at, trade_date, 'before' as role, started_mark as marked_at from over
    union all
    select asset, started_at, trade_date, 'behind' as role, ended_mark as marked_at from over
    union all
    select
        asset,
        started_at,
        trade_date,
        'after_1h' as role,
        ended_mark + 60 * interval '1' minute as marked_at
    from over
    union all
    select
        asset,
        started_at,
        trade_date,
        'after_24h' as role,
        ended_mark + 1440 * interval '1' minute as marked_at
    from over
),

-- The four prices of a cascade come from one series: the foremost one that has those before and behind it.
marked as (
    select
        wanted.asset,
        wanted.started_at,
        marks.venue,
        marks.instrument,
        marks.source,
        marks.period,
        min(marks.period_minutes) as period_minutes,
        min(i.price_rank) as price_rank,
        max(marks.close) filter (where wanted.role = 'before') as price_before,
        max(marks.available_at) filter (where wanted.role = 'before') as before_available_at,
        max(marks.close) filter (where wanted.role = 'behind') as price_behind,
        max(marks.available_at) filter (where wanted.role = 'behind') as behind_available_at,
        max(marks.close) filter (where wanted.role = 'after_1h') as price_after_1h,
        max(marks.available_at) filter (where wanted.role = 'after_1h') as after_1h_available_at,
        max(marks.close) filter (where wanted.role = 'after_24h') as price_after_24h,
        max(marks.available_at) filter (where wanted.role = 'after_24h') as after_24h_available_at
    from wanted
    inner join dollar_instruments as i
        on wanted.asset = i.asset and wanted.trade_date >= i.valid_from and wanted.trade_date < i.valid_to
    inner join intermediate.int_candle_marks_by_source as marks
        on i.venue = marks.venue and i.instrument = marks.instrument and wanted.marked_at = marks.marked_at
    group by wanted.asset, wanted.started_at, marks.venue, marks.instrument, marks.source, marks.period
),

priced as (
    select
        m.asset,
        m.started_at,
        m.period,
        ln(m.price_behind / m.price_before) as price_move,
        ln(m.price_after_1h / m.price_behind) as move_after_1h,
        ln(m.price_after_24h / m.price_behind) as move_after_24h,
        greatest(m.before_available_at, m.behind_available_at) as move_available_at,
        m.after_1h_available_at,
        m.after_24h_available_at
    from marked as m
    left join intermediate.int_source_ranks as r on m.source = r.source
    where m.price_before is not null and m.price_behind is not null
    qualify
        row_number() over (
            partition by m.asset, m.started_at
            order by m.price_rank nulls last, m.venue, m.instrument, r.precedence nulls last, m.period_minutes, m.source
        ) = 1
),

minute_cascades as (
    select
        c.asset,
        c.started_at,
        c.ended_at,
        c.trade_date,
        'minute' as input_grain,
        c.peak_at,
        c.peak_minute_usd,
        c.notional_usd,
        c.long_usd,
        c.short_usd,
        c.events,
        c.assets_at_once,
        p.period as price_grain,
        p.price_move,
        p.move_after_1h,
        p.move_after_24h,
        greatest(c.known_at, p.move_available_at) as available_at,
        p.after_1h_available_at as move_after_1h_at,
        p.after_24h_available_at as move_after_24h_at
    from over as c
    left join priced as p on c.asset = p.asset and c.started_at = p.started_at
),

day_cascades as (
    select
        days.asset,
        cast(days.trade_date as timestamp) as started_at,
        cast(days.trade_date + 1 as timestamp) as ended_at,
        days.trade_date,
        'daily' as input_grain,
        cast(null as timestamp) as peak_at,
        cast(null as double) as peak_minute_usd,
        days.notional_usd,
        days.cascade_long_usd as long_usd,
        days.cascade_short_usd as short_usd,
        cast(null as bigint) as events,
        days.assets_at_once,
        case when prices.log_return is not null then '1d' end as price_grain,
        prices.log_return as price_move,
        cast(null as double) as move_after_1h,
        case when prices.next_day = days.trade_date + 1 then prices.next_log_return end as move_after_24h,
        greatest(days.available_at, prices.available_at) as available_at,
        cast(null as timestamp) as move_after_1h_at,
        prices.next_available_at as move_after_24h_at
    from days
    left join prices on days.asset = prices.asset and days.trade_date = prices.trade_date
    where days.state = 'on' and days.input_grain = 'daily'
),

cascades as (
    select * from minute_cascades
    union all
    select * from day_cascades
)

select
    cascades.asset,
    cascades.asset || ' ' || cast(cascades.started_at as string) as cascade_id,
    cascades.trade_date,
    cascades.started_at,
    cascades.ended_at,
    epoch(cascades.ended_at - cascades.started_at) / 60 as duration_minutes,
    cascades.input_grain,
    cascades.peak_at,
    cascades.peak_minute_usd,
    cascades.notional_usd,
    cascades.long_usd,
    cascades.short_usd,
    cascades.events,
    cascades.assets_at_once,
    cascades.assets_at_once >= 3 as is_market_wide,
    cascades.price_grain,
    cascades.price_move,
    cascades.move_after_1h,
    cascades.move_after_24h,
    -cascades.move_after_1h / nullif(cascades.price_move, 0) as reversal_1h,
    -cascades.move_after_24h / nullif(cascades.price_move, 0) as reversal_24h,
    days.completeness,
    days.sources,
    cascades.available_at,
    case when cascades.move_after_1h is not null then greatest(cascades.available_at, cascades.move_after_1h_at) end
        as reversal_1h_known_at,
    case when cascades.move_after_24h is not null then greatest(cascades.available_at, cascades.move_after_24h_at) end
        as reversal_24h_known_at
from cascades
left join days on cascades.asset = days.asset and cascades.trade_date = days.trade_date
