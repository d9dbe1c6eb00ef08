-- Question: How crowded was bitcoin day by day, and what did leverage cost? (H07: the series together say more than
-- one alone)
-- Unit: one row per day; open interest in coins, growth a fraction, funding a fraction per 8 hours, percentiles 0 to
-- 100.
-- Trust: oi_reported_share below 1 means that a silent venue's last report is carried; input_grain daily means one
-- funding value a day. Windows look back only; a state is unknown where an input is missing.
select
    oi.trade_date,
    oi.close_usd,
    oi.oi_base,
    oi.oi_growth_7d,
    oi.oi_percentile_365d,
    oi.oi_reported_share,
    oi.quadrant,
    funding.rate_8h,
    funding.regime,
    funding.days_in_regime,
    funding.excess_rate_percentile_90d,
    funding.input_grain
from {{ ref('oi_trends_daily') }} as oi
inner join {{ ref('funding_regimes_daily') }} as funding
    on oi.asset = funding.asset and oi.trade_date = funding.trade_date
where oi.asset = 'BTC'
order by oi.trade_date desc
limit 90
