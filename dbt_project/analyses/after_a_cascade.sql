-- Question: Does a cascade of liquidations carry on, or does the price give the move back? (H06, H10, H12)
-- Unit: one row per grain and direction of the cascades; cascades are counts, moves natural logs, reversals a fraction
-- of the move (1 is all of it).
-- Trust: minute and daily cascades are found by different rules and never comparable: read one grain at a time.
-- Amounts are lower bounds. The reversal was not known when the cascade was (reversal_24h_known_at).
select
    input_grain,
    case when coalesce(long_usd, 0) >= coalesce(short_usd, 0) then 'longs' else 'shorts' end as mostly_liquidated,
    count(*) as cascades,
    count(distinct asset) as assets,
    avg(case when is_market_wide then 1e0 else 0e0 end) as share_market_wide,
    sum(notional_usd) as liquidated_usd,
    median(price_move) as median_price_move,
    median(move_after_24h) as median_move_after_24h,
    median(reversal_24h) as median_reversal_24h
from {{ ref('liquidation_cascades') }}
group by input_grain, case when coalesce(long_usd, 0) >= coalesce(short_usd, 0) then 'longs' else 'shorts' end
order by input_grain, mostly_liquidated
