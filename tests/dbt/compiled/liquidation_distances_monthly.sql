-- How far liquidated positions were from their entry, where a venue states it.
with days as (
    select
        d.*,
        cast(date_trunc('month', d.trade_date) as date) as trade_month,
        -- One source per day and asset of a venue: nothing is counted twice.
        rank() over (
            partition by d.venue, d.asset, d.trade_date order by ranks.precedence, d.source
        ) as source_rank
    from intermediate.int_liquidation_distances_by_source as d
    inner join intermediate.int_source_ranks as ranks on d.source = ranks.source
),

months as (
    select
        venue,
        asset,
        side,
        trade_month,
        class_no,
        cast(sum(events) as bigint) as events,
        sum(quantity_base) as quantity_base,
        sum(notional_usd) as notional_usd,
        sum(distance_sum) / sum(events) as mean_distance,
        max(available_at) as available_at
    from days
    where source_rank = 1
    group by venue, asset, side, trade_month, class_no
)

select
    m.venue,
    m.asset,
    m.side,
    m.trade_month,
    m.class_no,
    classes.distance as distance_up_to,
    m.mean_distance,
    m.events,
    m.quantity_base,
    m.notional_usd,
    m.quantity_base / sum(m.quantity_base) over every_class as share,
    classes.opening_weight,
    max(m.available_at) over every_class as available_at
from months as m
left join seeds.liquidation_classes as classes on m.class_no = classes.class_no
window every_class as (partition by m.venue, m.asset, m.side, m.trade_month)
