-- Where the day's liquidations happened: events at their own price, totals at the close of their day. The sources are
-- those of the day's totals, so that the bins of a day add up to them.
-- Of a day inside which a contract ended and which has events after that, the bins do not tell which: what counts
-- stands at the day's close.
with cut as (
    select
        source,
        venue,
        instrument,
        side,
        trade_date
    from {{ ref('int_liquidation_events_counted') }}
    where uncounted > 0
),

events as (
    select b.*
    from {{ ref('int_liquidation_bins_by_source') }} as b
    anti join cut
        on
            b.source = cut.source
            and b.venue = cut.venue
            and b.instrument = cut.instrument
            and b.side = cut.side
            and b.trade_date = cut.trade_date
),

chosen as (
    select * from {{ ref('int_liquidations_daily') }}
    where measure = 'position_notional'
),

prices as (
    select asset, trade_date, close_usd, available_at from {{ ref('fct_price_daily') }}
),

-- Where the day has no close, events without a notional are not counted; neither are they in the totals.
priced_events as (
    select
        chosen.asset,
        chosen.trade_date,
        coalesce(events.bin_no, {{ liquidation_bin('prices.close_usd') }}) as bin_no,
        chosen.side,
        case when prices.close_usd is null then events.events - events.unpriced_events else events.events end as events,
        case
            when prices.close_usd is null then events.quantity_base - coalesce(events.unpriced_base, 0)
            else events.quantity_base
        end as quantity_base,
        {{ liquidation_value(
            'events.notional_usd', 'events.unpriced_events', 'events.unpriced_base', 'prices.close_usd'
        ) }} as notional_usd,
        case when events.bin_no is null then 'daily_close' else 'event' end as input_grain,
        chosen.completeness,
        chosen.source,
        case
            when events.unpriced_events > 0 then greatest(events.available_at, prices.available_at)
            else events.available_at
        end as available_at
    from events
    inner join chosen
        on
            events.source = chosen.source
            and events.venue = chosen.venue
            and events.instrument = chosen.series
            and events.side = chosen.side
            and events.trade_date = chosen.trade_date
            and chosen.table_name = 'liquidations'
    left join prices on chosen.asset = prices.asset and chosen.trade_date = prices.trade_date
),

placed_totals as (
    select
        chosen.asset,
        chosen.trade_date,
        {{ liquidation_bin('prices.close_usd') }} as bin_no,
        chosen.side,
        chosen.events,
        chosen.quantity_base,
        chosen.notional_usd,
        'daily_close' as input_grain,
        chosen.completeness,
        chosen.source,
        greatest(chosen.available_at, prices.available_at) as available_at
    from chosen
    inner join prices on chosen.asset = prices.asset and chosen.trade_date = prices.trade_date
    left join cut
        on
            chosen.source = cut.source
            and chosen.venue = cut.venue
            and chosen.series = cut.instrument
            and chosen.side = cut.side
            and chosen.trade_date = cut.trade_date
    where chosen.table_name <> 'liquidations' or cut.venue is not null
),

placed as (
    select * from priced_events
    union all
    select * from placed_totals
)

select
    asset,
    trade_date,
    bin_no,
    sum(notional_usd) as notional_usd,
    coalesce(sum(notional_usd) filter (where side = 'long'), 0) as long_usd,
    coalesce(sum(notional_usd) filter (where side = 'short'), 0) as short_usd,
    coalesce(sum(notional_usd) filter (where side = 'unknown'), 0) as side_unknown_usd,
    case
        when count(*) filter (where side = 'long') = count(quantity_base) filter (where side = 'long')
            then coalesce(sum(quantity_base) filter (where side = 'long'), 0)
    end as long_base,
    case
        when count(*) filter (where side = 'short') = count(quantity_base) filter (where side = 'short')
            then coalesce(sum(quantity_base) filter (where side = 'short'), 0)
    end as short_base,
    case when count(*) = count(events) then cast(sum(events) as bigint) end as events,
    coalesce(sum(notional_usd) filter (where input_grain = 'daily_close'), 0) as placed_at_close_usd,
    case when min(input_grain) = max(input_grain) then min(input_grain) else 'mixed' end as input_grain,
    {{ worst_completeness('completeness') }} as completeness,
    {{ string_agg_list('source') }} as source_list,
    max(available_at) as available_at
from placed
where notional_usd > 0 and bin_no is not null
group by asset, trade_date, bin_no
