-- Question: Which days closed most positions by force, on which side, and how far could the truth lie above the
-- report?
-- Unit: one row per asset and day; US dollars of position notional on centralized exchanges, the return a log.
-- Trust: feeds are throttled: reported_usd is the lower end of a range, upper_usd the higher as far as open interest
-- tells, null where that is not known. Amounts of days with different venues_present do not compare.
select
    liquidations.asset,
    liquidations.trade_date,
    liquidations.exchange_position_notional_usd as reported_usd,
    liquidations.exchange_position_notional_usd_upper as upper_usd,
    liquidations.exchange_position_notional_usd_long as longs_usd,
    liquidations.exchange_position_notional_usd_short as shorts_usd,
    liquidations.exchange_liq_to_oi_usd as share_of_open_interest,
    prices.log_return,
    liquidations.exchange_venues_present as venues_present,
    liquidations.exchange_completeness as completeness
from {{ ref('liquidation_comparison_daily') }} as liquidations
left join {{ ref('fct_price_daily') }} as prices
    on liquidations.asset = prices.asset and liquidations.trade_date = prices.trade_date
where liquidations.exchange_position_notional_usd > 0
order by liquidations.exchange_position_notional_usd desc
limit 50
