-- Question: On which days did retail capitulate: long accounts, dear puts and falling open interest at once? (H08)
-- Unit: one row per asset and day; percentiles 0 to 100 of the ninety days before, long shares fractions.
-- Trust: it needs options, long/short ratios and open interest of the day; without one of them the day is unknown,
-- which is not no. The gap is that of top traders' positions to all accounts, in log odds.
select
    trade_date,
    asset,
    account_long_share,
    account_long_share_percentile_90d,
    top_trader_account_gap,
    put_call_oi_percentile_90d,
    available_at
from {{ ref('positioning_divergence_daily') }}
where capitulation = 'on'
order by trade_date desc, asset asc
