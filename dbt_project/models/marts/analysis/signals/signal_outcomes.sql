-- What followed each event of a signal, for whoever acted at the first close after it was known. signal_scorecard
-- judges whether that is more than chance; here are the events themselves.
with states as (
    select
        *,
        lag(state) over (partition by asset, signal order by trade_date) as state_before
    from {{ ref('signals_daily') }}
),

-- An event is the first day of a run of days that are on.
events as (
    select * from states
    where state = 'on' and coalesce(state_before, 'unknown') <> 'on'
),

days as (
    select
        price.asset,
        price.trade_date,
        price.close_usd,
        price.log_return,
        avg(price.log_return) over (partition by price.trade_date) as market_return,
        case
            when liquidations.exchange_completeness <> 'none' then liquidations.exchange_position_notional_usd
        end as liquidated_usd,
        greatest(price.available_at, coalesce(liquidations.available_at, price.available_at)) as available_at
    from {{ ref('fct_price_daily') }} as price
    left join {{ ref('liquidation_comparison_daily') }} as liquidations
        on price.asset = liquidations.asset and price.trade_date = liquidations.trade_date
),

horizons as (
    select cast(horizon_days as int) as horizon_days from (values (1), (3), (7), (14)) as listed (horizon_days)
),

-- The first close after the signal was known: that of the day whose end is not before it.
entries as (
    select
        events.asset,
        events.trade_date,
        events.signal,
        events.direction,
        events.strength,
        events.available_at,
        cast(events.available_at - interval '1' microsecond as date) as entry_date
    from events
)

select
    entries.asset,
    entries.trade_date,
    entries.signal,
    horizons.horizon_days,
    entries.direction,
    entries.strength,
    entries.available_at as signal_available_at,
    entries.entry_date,
    max(case when days.trade_date = entries.entry_date then days.close_usd end) as entry_close_usd,
    max(case when days.trade_date = entries.entry_date + horizons.horizon_days then days.close_usd end)
        as exit_close_usd,
    {{ outcome_of('sum(days.log_return)', 'days.log_return') }} as log_return,
    {{ outcome_of('sum(days.log_return - days.market_return)', 'days.log_return') }} as adjusted_return,
    sqrt(365 * {{ outcome_of('sum(days.log_return * days.log_return)', 'days.log_return') }} / horizons.horizon_days)
        as realized_vol_annual,
    {{ outcome_of('sum(days.liquidated_usd)', 'days.liquidated_usd') }} as liquidated_usd,
    case
        when count(case when days.trade_date > entries.entry_date then days.log_return end) = horizons.horizon_days
            then 'known'
        when max(newest.trade_date) < entries.entry_date + horizons.horizon_days then 'not over'
        else 'unknown'
    end as outcome,
    greatest(entries.available_at, coalesce(max(days.available_at), entries.available_at)) as available_at
from entries
cross join horizons
cross join (select max(known.trade_date) as trade_date from days as known) as newest
left join days
    on
        entries.asset = days.asset
        and days.trade_date between entries.entry_date and entries.entry_date + horizons.horizon_days
group by
    entries.asset, entries.trade_date, entries.signal, horizons.horizon_days, entries.direction, entries.strength,
    entries.available_at, entries.entry_date
