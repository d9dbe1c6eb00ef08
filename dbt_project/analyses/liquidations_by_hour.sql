-- Question: At which hours of the UTC day are positions liquidated?
-- Unit: one row per hour of the day; US dollars of position notional on exchanges and on perpetual DEXes, side by
-- side, shares of their own totals as fractions.
-- Trust: only feeds that tell hours apart, and only hours known in full (is_covered) are counted. One bad day can make
-- an hour: compare the share of hours with any liquidation too.
with hours as (
    select
        hour(opened_at) as hour_of_day,
        case when exchange_is_covered then exchange_position_notional_usd end as exchange_usd,
        case when perp_dex_is_covered then perp_dex_position_notional_usd end as perp_dex_usd
    from {{ ref('liquidation_comparison_hourly') }}
)

select
    hour_of_day,
    count(exchange_usd) as exchange_hours,
    sum(exchange_usd) as exchange_usd,
    sum(exchange_usd) / nullif(sum(sum(exchange_usd)) over (), 0) as share_of_exchange,
    count(perp_dex_usd) as perp_dex_hours,
    sum(perp_dex_usd) as perp_dex_usd,
    avg(case when perp_dex_usd > 0 then 1e0 when perp_dex_usd = 0 then 0e0 end) as share_of_hours_with_any
from hours
group by hour_of_day
order by hour_of_day
