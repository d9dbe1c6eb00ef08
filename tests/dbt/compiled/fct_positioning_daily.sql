with instruments as (
    select * from intermediate.int_long_short_daily
),

-- Where a venue has several instruments of an asset, their mean speaks.
days as (
    select
        venue,
        asset,
        measure,
        trade_date,
        avg(long_share) as long_share,
        cast(count(*) as int) as instruments,
        max_by(period, period_minutes) as input_grain,
        string_agg(source, ',') as source_lists,
        max(available_at) as available_at
    from instruments
    group by venue, asset, measure, trade_date
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
    d.measure,
    d.trade_date,
    d.long_share / nullif(1e0 - d.long_share, 0) as ratio,
    d.long_share,
    d.instruments,
    d.input_grain,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
