-- The events of the sources that the day's totals chose, by the minute in which the contract lived, and the border a
-- minute of a cascade must pass.
with minutes as (
    select * from {{ ref('int_liquidation_minutes_by_source') }}
),

chosen as (
    select source, venue, series, side, asset, trade_date
    from {{ ref('int_liquidations_daily') }}
    where measure = 'position_notional' and table_name = 'liquidations' and completeness <> 'sampled'
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

edges as (
    select * from {{ ref('int_contract_edges') }}
),

prices as (
    select asset, trade_date, close_usd, available_at from {{ ref('fct_price_daily') }}
),

days as (
    select
        asset,
        trade_date,
        count(*) filter (where has_events) over days_before as event_days_known,
        max(available_at) over days_before as before_available_at
    from {{ ref('int_liquidation_days') }}
    window days_before as (
        partition by asset order by trade_date {{ stats_rows_before(threshold('cascade_median_days')) }}
    )
),

-- As in the totals: what has no price of its own takes the close of its day, and what has neither counts nowhere.
priced as (
    select
        chosen.asset,
        minutes.minute_at,
        minutes.trade_date,
        minutes.side,
        minutes.events,
        {{ liquidation_value(
            'minutes.notional_usd', 'minutes.unpriced_events',
            asset_amount('minutes.unpriced_base', 'instruments.multiplier'), 'prices.close_usd'
        ) }} as notional_usd,
        case
            when minutes.unpriced_events > 0 then greatest(minutes.available_at, prices.available_at)
            else minutes.available_at
        end as available_at
    from minutes
    inner join chosen
        on
            minutes.source = chosen.source
            and minutes.venue = chosen.venue
            and minutes.instrument = chosen.series
            and minutes.side = chosen.side
            and minutes.trade_date = chosen.trade_date
    inner join instruments
        on
            minutes.venue = instruments.venue
            and minutes.instrument = instruments.instrument
            and minutes.trade_date >= instruments.valid_from
            and minutes.trade_date < instruments.valid_to
    left join edges
        on
            minutes.venue = edges.venue
            and minutes.instrument = edges.instrument
            and minutes.trade_date = edges.trade_date
    left join prices on chosen.asset = prices.asset and minutes.trade_date = prices.trade_date
    where
        (edges.ended_at is null or minutes.minute_at < edges.ended_at)
        and (edges.began_at is null or minutes.minute_at + interval '1' minute > edges.began_at)
),

active as (
    select
        asset,
        minute_at,
        trade_date,
        sum(notional_usd) as notional_usd,
        coalesce(sum(notional_usd) filter (where side = 'long'), 0) as long_usd,
        coalesce(sum(notional_usd) filter (where side = 'short'), 0) as short_usd,
        cast(sum(events) as bigint) as events,
        max(available_at) as available_at
    from priced
    where notional_usd is not null
    group by asset, minute_at, trade_date
),

-- A border is asked for only on days with a minute that reaches the floor: on a long tail of assets those are few.
asked as (
    select
        days.asset,
        days.trade_date,
        cast(days.trade_date - cast(back.days as int) as date) as day_before
    from days
    cross join range(1, {{ threshold('cascade_median_days') }} + 1) as back (days)
    where
        days.event_days_known = {{ threshold('cascade_median_days') }}
        and exists (
            select 1
            from active
            where
                active.asset = days.asset
                and active.trade_date = days.trade_date
                and {{ liquidation_snap('active.notional_usd') }} >= {{ threshold('cascade_minute_floor_usd') }}
        )
),

borders as (
    select
        asked.asset,
        asked.trade_date,
        {{ threshold('cascade_median_multiple') }}
        * percentile_cont({{ threshold('cascade_typical_quantile') }}) within group (order by active.notional_usd)
            as border_usd
    from asked
    inner join active on asked.asset = active.asset and asked.day_before = active.trade_date
    group by asked.asset, asked.trade_date
),

judged as (
    select
        active.*,
        borders.border_usd,
        days.before_available_at
    from active
    inner join days on active.asset = days.asset and active.trade_date = days.trade_date
    left join borders on active.asset = borders.asset and active.trade_date = borders.trade_date
)

select
    asset,
    minute_at,
    trade_date,
    notional_usd,
    long_usd,
    short_usd,
    events,
    border_usd,
    {{ liquidation_snap('notional_usd') }} > {{ liquidation_snap('border_usd') }}
    and {{ liquidation_snap('notional_usd') }} >= {{ threshold('cascade_minute_floor_usd') }} as is_hot,
    greatest(available_at, before_available_at, minute_at + interval '1' minute) as available_at
from judged
