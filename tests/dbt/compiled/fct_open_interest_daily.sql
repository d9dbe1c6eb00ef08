with instruments as (
    select * from intermediate.int_open_interest_daily
),

-- A venue's instruments of an asset add up.
days as (
    select
        venue,
        asset,
        trade_date,
        case when count(*) = count(oi_base) then sum(oi_base) end as oi_base,
        case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd,
        sum(oi_base_mean) as oi_base_mean,
        sum(oi_base_high) as oi_base_high,
        sum(oi_base_low) as oi_base_low,
        cast(sum(observations) as bigint) as observations,
        cast(count(*) as int) as instruments,
        case
            when bool_or(price_source = 'none') then 'none'
            when bool_or(price_source = 'day_close') then 'day_close'
            else 'stated'
        end as price_source,
        array_to_string(list_sort(list_distinct(list(taint_reason) filter (where taint_reason is not null))), ',') as taint_reason,
        case when bool_or(period = 'snapshot') then 'snapshot' else max_by(period, period_minutes) end as input_grain,
        string_agg(source, ',') as source_lists,
        max(available_at) as available_at
    from instruments
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
    d.oi_base,
    d.oi_usd,
    d.oi_base_mean,
    d.oi_base_high,
    d.oi_base_low,
    d.observations,
    d.instruments,
    d.price_source,
    d.taint_reason,
    d.input_grain,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
