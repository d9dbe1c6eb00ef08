-- Question: Did days on which the hypotheses about the price together expected a rise precede one? (H07)
-- Unit: one row per sign of price_score; days are a count, returns fractions over the 7 days after.
-- Trust: bitcoin and ether only, which fall together, and seven-day returns of neighboring days overlap: the effective
-- sample is far smaller than the days. Signals that became known later make later scores a mean of more.
with returns as (
    -- The mart has a row for every day, so seven rows on are seven days on.
    select
        asset,
        trade_date,
        lead(close_usd, 7) over (partition by asset order by trade_date) / close_usd - 1 as return_7d
    from {{ ref('oi_trends_daily') }}
    where asset in ('BTC', 'ETH')
)

select
    case
        when matrix.price_score > 0 then 'up'
        when matrix.price_score < 0 then 'down'
        else 'none on'
    end as hypotheses_expect,
    count(*) as days,
    avg(returns.return_7d) as mean_return_7d,
    median(returns.return_7d) as median_return_7d
from {{ ref('signal_matrix_daily') }} as matrix
inner join returns on matrix.asset = returns.asset and matrix.trade_date = returns.trade_date
where
    matrix.asset in ('BTC', 'ETH')
    and matrix.price_score is not null
    and returns.return_7d is not null
group by hypotheses_expect
order by hypotheses_expect
