-- How much of the market each input of the signals rests on: what a signal's venue_share, completeness, input_grain and
-- available_at are combined from. A view: one model reads it.
{{ config(materialized='view') }}

select
    asset,
    trade_date,
    'oi' as input,
    venue_share,
    cast(null as string) as completeness,
    input_grain,
    available_at
from {{ ref('oi_trends_daily') }}
union all
select
    asset,
    trade_date,
    'funding' as input,
    venue_share,
    cast(null as string) as completeness,
    input_grain,
    available_at
from {{ ref('funding_regimes_daily') }}
union all
select
    asset,
    trade_date,
    'positioning' as input,
    venue_share,
    cast(null as string) as completeness,
    input_grain,
    available_at
from {{ ref('positioning_divergence_daily') }}
union all
select
    asset,
    trade_date,
    'options' as input,
    venue_share,
    cast(null as string) as completeness,
    cast(null as string) as input_grain,
    available_at
from {{ ref('options_structure_daily') }}
union all
select
    asset,
    trade_date,
    'leverage' as input,
    venue_share,
    cast(null as string) as completeness,
    input_grain,
    available_at
from {{ ref('leverage_daily') }}
union all
select
    asset,
    trade_date,
    'lending' as input,
    least(exchange_venue_share, lending_collateral_venue_share) as venue_share,
    {{ least_complete('exchange_completeness', 'lending_collateral_completeness') }} as completeness,
    cast(null as string) as input_grain,
    available_at
from {{ ref('liquidation_comparison_daily') }}
union all
select
    asset,
    trade_date,
    'perp_dex' as input,
    least(exchange_venue_share, perp_dex_venue_share) as venue_share,
    {{ least_complete('exchange_completeness', 'perp_dex_completeness') }} as completeness,
    cast(null as string) as input_grain,
    available_at
from {{ ref('liquidation_comparison_daily') }}
union all
select
    asset,
    trade_date,
    'zones' as input,
    cast(null as double) as venue_share,
    cast(null as string) as completeness,
    cast(null as string) as input_grain,
    available_at
from {{ ref('int_liquidation_zones_daily') }}
union all
-- Whether others cascaded too takes their data; whether the asset did does not, so cascades give the grain alone.
select
    liquidations.asset,
    liquidations.trade_date,
    'liquidations' as input,
    liquidations.venues_present / cast(nullif(liquidations.venues_expected, 0) as double) as venue_share,
    liquidations.completeness,
    nullif(cascades.input_grain, 'none') as input_grain,
    liquidations.available_at
from {{ ref('int_liquidation_days') }} as liquidations
left join {{ ref('int_cascade_days') }} as cascades
    on liquidations.asset = cascades.asset and liquidations.trade_date = cascades.trade_date
