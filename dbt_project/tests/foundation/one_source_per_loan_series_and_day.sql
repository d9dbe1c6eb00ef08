-- Overlapping sources of one protocol, chain, asset and day are never added up.
select
    venue,
    chain,
    series,
    trade_date
from {{ ref('int_liquidations_daily') }}
where measure <> 'position_notional'
group by venue, chain, series, trade_date
having count(distinct source) > 1
