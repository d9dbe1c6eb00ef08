-- Question: How often is each signal on, off or unknown for the large assets, and how strong is it when on?
-- Unit: one row per signal and asset; days are counts, strength from -1 to 1 by the expected direction.
-- Trust: a signal is a hypothesis and no verdict. Unknown means that an input is missing, which is not off:
-- compare signals only over days on which both are known.
select
    signal,
    asset,
    count(*) as days,
    cast(count_if(state = 'on') as bigint) as days_on,
    cast(count_if(state = 'off') as bigint) as days_off,
    cast(count_if(state = 'unknown') as bigint) as days_unknown,
    avg(strength) filter (where state = 'on') as mean_strength_when_on,
    min(trade_date) filter (where state <> 'unknown') as known_since
from {{ ref('signals_daily') }}
where asset in ('BTC', 'ETH', 'SOL', 'AVAX')
group by signal, asset
order by signal, asset
