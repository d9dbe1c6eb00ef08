-- Question: On which days did retail capitulate: long accounts, dear puts and falling open interest at once? (H08)
-- Unit: one row per asset and day on which accounts were as long as it takes, those of a capitulation first;
-- percentiles 0 to 100 of the ninety days before, long shares fractions.
-- Trust: it needs options, long/short ratios and open interest of the day; without one of them the day is unknown,
-- which is not no. The gap is that of top traders' positions to all accounts, in log odds.
select
    trade_date,
    asset,
    capitulation,
    account_long_share,
    account_long_share_percentile_90d,
    top_trader_account_gap,
    put_call_oi_percentile_90d,
    available_at
from {{ ref('positioning_divergence_daily') }}
where account_long_share_percentile_90d >= 70
order by case capitulation when 'on' then 0 when 'unknown' then 1 else 2 end, trade_date desc, asset asc
limit 200
