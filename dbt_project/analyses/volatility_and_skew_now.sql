-- Question: What does implied volatility cost at 7 and at 30 days, what is the skew, and what was realized?
-- Unit: one row per asset with options: volatilities are annual fractions.
-- Trust: both sides are per year here. A volatility is null where the chain has no expiries on both sides of the term
-- (iv_status_7d, iv_status_30d).
select
    options.asset,
    options.trade_date,
    options.iv_atm_7d,
    options.iv_atm_30d,
    price.realized_vol_30d_annualized,
    options.skew_25d_7d,
    options.skew_25d_30d,
    options.iv_status_7d,
    options.iv_status_30d
from {{ ref('options_structure_daily') }} as options
left join {{ ref('fct_price_daily') }} as price
    on options.asset = price.asset and options.trade_date = price.trade_date
qualify row_number() over (partition by options.asset order by options.trade_date desc) = 1
order by options.asset
