with settlements as (
    select * from intermediate.int_funding_settlements
),

open_interest as (
    select * from intermediate.int_open_interest_daily
),

last_settlements as (
    select
        venue,
        asset,
        trade_date,
        max(settled_at) as settled_at
    from settlements
    group by venue, asset, trade_date
),

-- What longs paid rests on the open interest at the end of the day before, the last one known at every settlement.
paid as (
    select
        s.*,
        case when s.input_grain = 'daily' then 24e0 / s.interval_hours else 1e0 end * s.rate * o.oi_usd as cost_usd,
        o.available_at as oi_available_at,
        o.source as oi_source,
        last_settlements.settled_at as last_settled_at
    from settlements as s
    inner join last_settlements
        on
            s.venue = last_settlements.venue
            and s.asset = last_settlements.asset
            and s.trade_date = last_settlements.trade_date
    left join open_interest as o
        on
            s.venue = o.venue
            and s.instrument = o.instrument
            and o.trade_date = cast(s.trade_date - interval '1' day as date)
            and o.taint_reason is null
),

days as (
    select
        venue,
        asset,
        trade_date,
        cast(count(*) as int) as settlements,
        min(interval_hours) as interval_hours,
        bool_or(interval_changed) as interval_changed,
        avg(rate_8h) as rate_8h,
        min(rate_8h) as rate_8h_min,
        max(rate_8h) as rate_8h_max,
        avg(rate_8h) filter (where settled_at = last_settled_at) as rate_8h_last,
        max(neutral_rate_8h) as neutral_rate_8h,
        cast(count(*) filter (where rate_8h > 0) as int) as positive_settlements,
        cast(count(*) filter (where excess_rate_8h > 0) as int) as above_neutral_settlements,
        case when count(*) = count(cost_usd) then sum(cost_usd) end as cost_usd,
        case when bool_or(input_grain = 'daily') then 'daily' else 'settlement' end as input_grain,
        string_agg(concat_ws(',', source, oi_source), ',') as source_lists,
        max(greatest(available_at, coalesce(oi_available_at, available_at))) as available_at
    from paid
    group by venue, asset, trade_date
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
)

select
    d.venue,
    d.asset,
    d.trade_date,
    d.settlements,
    d.interval_hours,
    d.interval_changed,
    d.rate_8h,
    d.rate_8h_min,
    d.rate_8h_max,
    d.rate_8h_last,
    d.rate_8h * 8760e0 / 8e0 as rate_annualized,
    d.neutral_rate_8h,
    d.positive_settlements,
    d.above_neutral_settlements,
    d.cost_usd,
    d.input_grain,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
