-- Question: Does extreme funding precede a reversal and a chain of liquidations? (H10)
-- Unit: one row per regime; days are counts, returns fractions over the 7 days after, liquidations a fraction of open
-- interest.
-- Trust: only the first day of a regime counts, so that a long extreme is one event. The regime itself looks back
-- only (its percentile is of the 90 days before); the return looks ahead on purpose, from the first close at which the
-- regime was known. Few extremes: look at the counts first.
with entries as (
    select asset, available_at, regime
    from {{ ref('funding_regimes_daily') }}
    where days_in_regime = 1
)

select
    entries.regime,
    count(*) as entries,
    avg(later.close_usd / entry.close_usd - 1) as mean_return_7d,
    median(later.close_usd / entry.close_usd - 1) as median_return_7d,
    avg(liquidations.exchange_liq_to_oi_usd_long) as next_day_longs_liquidated_share,
    avg(liquidations.exchange_liq_to_oi_usd_short) as next_day_shorts_liquidated_share
from entries
inner join {{ ref('fct_price_daily') }} as entry
    on entries.asset = entry.asset
    and entry.trade_date = cast(entries.available_at - interval '1' microsecond as date)
inner join {{ ref('fct_price_daily') }} as later
    on entry.asset = later.asset and later.trade_date = entry.trade_date + 7
left join {{ ref('liquidation_comparison_daily') }} as liquidations
    on entry.asset = liquidations.asset and liquidations.trade_date = entry.trade_date + 1
group by entries.regime
order by entries.regime
