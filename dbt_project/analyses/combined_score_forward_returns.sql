-- Question: Did days on which the hypotheses about the price together expected a rise precede one? (H07)
-- Unit: one row per sign of price_score; days are a count, returns fractions over the 7 days after the first close at
-- which the score was known.
-- Trust: bitcoin and ether only, which fall together, and seven-day returns of neighboring days overlap: the effective
-- sample is far smaller than the days. Signals that became known later make later scores a mean of more.
select
    case
        when matrix.price_score > 0 then 'up'
        when matrix.price_score < 0 then 'down'
        else 'none on'
    end as hypotheses_expect,
    count(*) as days,
    avg(later.close_usd / entry.close_usd - 1) as mean_return_7d,
    median(later.close_usd / entry.close_usd - 1) as median_return_7d
from {{ ref('signal_matrix_daily') }} as matrix
inner join {{ ref('fct_price_daily') }} as entry
    on matrix.asset = entry.asset and entry.trade_date = cast(matrix.available_at - interval '1' microsecond as date)
inner join {{ ref('fct_price_daily') }} as later
    on entry.asset = later.asset and later.trade_date = entry.trade_date + 7
where matrix.asset in ('BTC', 'ETH') and matrix.price_score is not null
group by hypotheses_expect
order by hypotheses_expect
