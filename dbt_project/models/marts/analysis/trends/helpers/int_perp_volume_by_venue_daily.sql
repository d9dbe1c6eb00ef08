-- Perpetual volume per venue: the weights of volume-weighted funding. A view: one model reads it, and writing it would
-- cost twice what reckoning it does.
{{ config(materialized='view') }}
with candles as (
    select * from {{ ref('int_candles_daily') }}
    where market = 'perp' and volume_usd is not null
),

-- A venue's perpetuals of an asset add up; most assets have one, and nothing to add.
shared as (
    {{ multi_source_series('candles', ['venue', 'asset'], ['instrument']) }}
)

select
    c.venue,
    c.asset,
    c.trade_date,
    c.volume_usd,
    c.source as sources,
    c.available_at
from candles as c
anti join shared on {{ same_series('c', 'shared', ['venue', 'asset']) }}
union all
select
    c.venue,
    c.asset,
    c.trade_date,
    sum(c.volume_usd) as volume_usd,
    {{ string_agg_list('c.source') }} as sources,
    max(c.available_at) as available_at
from candles as c
semi join shared on {{ same_series('c', 'shared', ['venue', 'asset']) }}
group by c.venue, c.asset, c.trade_date
