-- Perpetual volume per venue: the weights of volume-weighted funding. A view: one model reads it, and writing it would
-- cost twice what reckoning it does.
{{ config(materialized='view') }}

-- A venue's perpetuals of an asset add up.
select
    venue,
    asset,
    trade_date,
    sum(volume_usd) as volume_usd,
    {{ string_agg_list('source') }} as sources,
    max(available_at) as available_at
from {{ ref('int_candles_daily') }}
where market = 'perp' and volume_usd is not null
group by venue, asset, trade_date
