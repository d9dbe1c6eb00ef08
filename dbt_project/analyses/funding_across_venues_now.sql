-- Question: On which venue is it cheapest to be long now, and what does the spread between venues pay in a year?
-- Unit: one row per asset and venue of the asset's newest day with funding; rates are fractions per year, without
-- compounding.
-- Trust: settled rates of the day, no fees, no slippage and no cost of margin on two venues. A venue that reported no
-- settlement that day is not in the answer.
with newest as (
    select asset, max(trade_date) as trade_date
    from {{ ref('fct_funding_daily') }}
    where rate_8h is not null
    group by asset
)

select
    funding.asset,
    funding.trade_date,
    funding.venue,
    funding.rate_annualized,
    rank() over (partition by funding.asset order by funding.rate_annualized asc) as cheapest_for_longs,
    max(funding.rate_annualized) over (partition by funding.asset)
    - min(funding.rate_annualized) over (partition by funding.asset) as spread_annualized
from {{ ref('fct_funding_daily') }} as funding
inner join newest on funding.asset = newest.asset and funding.trade_date = newest.trade_date
where funding.rate_8h is not null
order by funding.asset, cheapest_for_longs, funding.venue
