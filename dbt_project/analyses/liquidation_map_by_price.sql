-- Question: How much was liquidated at each price of bitcoin in the last ninety days, empty prices included?
-- Unit: one row per price bin of 0.25% between the lowest and the highest with liquidations: US dollars, longs and
-- shorts; distance of the bin's middle from the newest close as a fraction of it.
-- Trust: liquidations that happened. A bin of 0 was reached by no reported liquidation; feeds that are throttled give
-- lower bounds, and totals without a price stand at their day's close (placed_at_close_usd).
with newest as (
    select asset, max(trade_date) as trade_date, max_by(close_usd, trade_date) as close_usd
    from {{ ref('fct_price_daily') }}
    where asset = 'BTC' and close_usd is not null
    group by asset
),

bins as (
    select
        heat.bin_no,
        sum(heat.notional_usd) as notional_usd,
        sum(heat.long_usd) as long_usd,
        sum(heat.short_usd) as short_usd,
        sum(heat.placed_at_close_usd) as placed_at_close_usd
    from {{ ref('liquidation_heatmap_daily') }} as heat
    inner join newest on heat.asset = newest.asset and heat.trade_date > newest.trade_date - 90
    group by heat.bin_no
),

-- Every bin between the extremes, with or without liquidations.
spine as (
    select bounds.lowest + cast(steps.i as int) as bin_no
    from (select min(bin_no) as lowest, max(bin_no) as highest from bins) as bounds
    cross join range(0, 20000) as steps (i)
    where bounds.lowest + cast(steps.i as int) <= bounds.highest
)

select
    power(1.0025e0, spine.bin_no) as price_low_usd,
    power(1.0025e0, spine.bin_no + 1) as price_high_usd,
    power(1.0025e0, spine.bin_no + 0.5e0) / newest.close_usd - 1 as distance_to_close,
    coalesce(bins.notional_usd, 0) as notional_usd,
    coalesce(bins.long_usd, 0) as long_usd,
    coalesce(bins.short_usd, 0) as short_usd,
    coalesce(bins.placed_at_close_usd, 0) as placed_at_close_usd
from spine
cross join newest
left join bins on spine.bin_no = bins.bin_no
order by spine.bin_no
