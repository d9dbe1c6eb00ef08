-- Who paid the spread: what takers bought minus what they sold, of a day and cumulated over the days up to it.
with candles as (
    select * from intermediate.int_candles_daily
    where market in ('perp', 'spot') and volume_usd is not null and day_completeness = 1
),

-- Whether takers bought is known of some venues only: the sums are over those, and the share says how much that is.
days as (
    select
        asset,
        market,
        trade_date,
        sum(taker_buy_base) as taker_buy_base,
        sum(taker_buy_usd) as taker_buy_usd,
        sum(volume_base) filter (where taker_buy_usd is not null) as volume_base,
        sum(volume_usd) filter (where taker_buy_usd is not null) as volume_usd,
        sum(volume_usd) as volume_of_all_usd,
        cast(coalesce(len(list_distinct(list(venue) filter (where taker_buy_usd is not null))), 0) as int) as venues_present,
        string_agg(case when taker_buy_usd is not null then source end, ',') as source_lists,
        max(available_at) as available_at
    from candles
    group by asset, market, trade_date
    having count(taker_buy_usd) > 0
),

source_lists as (
    select
        messy.gathered,
        array_to_string(list_sort(list_distinct(list(member.item) filter (where member.item is not null))), ',') as tidy
    from (
        select
            gathered,
            string_split(gathered, ',') as items
        from (
            select distinct source_lists as gathered from days where source_lists is not null
        ) as lists
    ) as messy
    cross join lateral unnest(messy.items) as member (item)
    group by messy.gathered
),

deltas as (
    select
        *,
        2e0 * taker_buy_base - volume_base as volume_delta_base,
        2e0 * taker_buy_usd - volume_usd as volume_delta_usd
    from days
)

select
    d.asset,
    d.market,
    d.trade_date,
    d.volume_delta_base,
    d.volume_delta_usd,
    case
        when count(*) over days_7 = 7 then sum(d.volume_delta_base) over days_7
    end as volume_delta_7d_base,
    case
        when count(*) over days_7 = 7 then sum(d.volume_delta_usd) over days_7
    end as volume_delta_7d_usd,
    case
        when count(*) over days_30 = 30 then sum(d.volume_delta_base) over days_30
    end as volume_delta_30d_base,
    case
        when count(*) over days_30 = 30 then sum(d.volume_delta_usd) over days_30
    end as volume_delta_30d_usd,
    d.taker_buy_usd / nullif(d.volume_usd, 0) as taker_buy_share,
    d.volume_usd,
    d.volume_usd / nullif(d.volume_of_all_usd, 0) as volume_share_known,
    d.venues_present,
    s.tidy as sources,
    max(d.available_at) over days_30 as available_at
from deltas as d
inner join source_lists as s on d.source_lists = s.gathered
-- The day itself counts: an amount that was traded until its end, no window that a day is judged by.
window
    days_7 as (
        partition by d.asset, d.market order by d.trade_date
        range between interval '6' day preceding and current row
    ),
    days_30 as (
        partition by d.asset, d.market order by d.trade_date
        range between interval '29' day preceding and current row
    )
