-- One venue's (or protocol's) liquidations of an asset and day per measure, the open interest they are held against,
-- and the upper end of what a throttled feed may hide. Measures are kept apart; nothing is added across venues here.
with liquidations as (
    select
        venue,
        chain,
        asset,
        trade_date,
        venue_kind,
        measure,
        {{ stats_priced_sum('notional_usd', 'unpriced_events') }} as notional_usd,
        sum(notional_usd) filter (where side = 'long') as notional_usd_long,
        sum(notional_usd) filter (where side = 'short') as notional_usd_short,
        sum(notional_usd) filter (where side = 'unknown') as notional_usd_side_unknown,
        sum(quantity_base) as quantity_base,
        sum(quantity_base) filter (where side = 'long') as quantity_base_long,
        sum(quantity_base) filter (where side = 'short') as quantity_base_short,
        sum(events) as events,
        sum(unpriced_events) as unpriced_events,
        -- The poorest feed among the rows speaks for all of them.
        {{ worst_completeness('completeness') }} as completeness,
        {{ string_agg_list('sources') }} as sources,
        max(available_at) as available_at
    from {{ ref('fct_liquidations_daily') }}
    group by venue, chain, asset, trade_date, venue_kind, measure
),

prices as (
    select
        asset,
        trade_date,
        close_usd,
        {{ stats_snap('abs(log_return)') }} as move,
        {{ stats_snap(threshold('implied_liquidation_sigmas') ~ ' * realized_vol_30d_daily') }} as move_border,
        sources,
        available_at
    from {{ ref('fct_price_daily') }}
)

select
    liquidations.venue,
    liquidations.chain,
    liquidations.asset,
    liquidations.trade_date,
    liquidations.venue_kind,
    liquidations.measure,
    liquidations.notional_usd,
    liquidations.notional_usd_long,
    liquidations.notional_usd_short,
    liquidations.notional_usd_side_unknown,
    case
        when liquidations.measure <> 'position_notional' or liquidations.notional_usd is null then null
        -- What has no price has no upper end either.
        when liquidations.unpriced_events > 0 then null
        when liquidations.completeness = 'full' then liquidations.notional_usd
        when prices.move is null or prices.move_border is null then null
        when prices.move <= prices.move_border then liquidations.notional_usd
        when today.oi_base_before_1d is null or prices.close_usd is null then null
        else greatest(liquidations.notional_usd, (today.oi_base_before_1d - today.oi_base) * prices.close_usd)
    end as notional_usd_upper,
    liquidations.quantity_base,
    liquidations.quantity_base_long,
    liquidations.quantity_base_short,
    nullif(day_before.oi_base, 0) as oi_base_before,
    nullif(day_before.oi_usd, 0) as oi_usd_before,
    cast(liquidations.events as bigint) as events,
    cast(liquidations.unpriced_events as bigint) as unpriced_events,
    liquidations.completeness,
    concat_ws(
        ',',
        liquidations.sources,
        case when liquidations.measure = 'position_notional' then prices.sources end,
        day_before.sources,
        today.sources
    ) as sources,
    greatest(
        liquidations.available_at,
        case when liquidations.measure = 'position_notional' then prices.available_at end,
        day_before.available_at,
        today.available_at
    ) as available_at
from liquidations
left join prices on liquidations.asset = prices.asset and liquidations.trade_date = prices.trade_date
-- Lending protocols have no open interest, so only positions find a partner here.
left join {{ ref('int_oi_by_venue_daily') }} as today
    on liquidations.venue = today.venue and liquidations.asset = today.asset
    and liquidations.trade_date = today.trade_date and today.is_reported
left join {{ ref('int_oi_by_venue_daily') }} as day_before
    on liquidations.venue = day_before.venue and liquidations.asset = day_before.asset
    and liquidations.trade_date - 1 = day_before.trade_date and day_before.is_reported
