-- Open interest against perpetual volume, over the venues that reported both: open interest of six venues over the
-- volume of one says nothing. What the ratio means for risk is leverage_daily's business.
with oi as (
    select venue, asset, trade_date, oi_base, is_reported, sources, available_at
    from {{ ref('int_oi_by_venue_daily') }}
),

volume as (
    select
        venue,
        asset,
        trade_date,
        -- A venue that traded nothing has no ratio, and its open interest must not raise that of the others.
        nullif(sum(volume_base), 0) as volume_base,
        {{ string_agg_list('source') }} as sources,
        max(available_at) as available_at
    from {{ ref('int_candles_daily') }}
    where market = 'perp' and volume_base is not null
    group by venue, asset, trade_date
),

venues as (
    select
        oi.asset,
        oi.trade_date,
        oi.oi_base,
        -- A carried value stands for no day's trading.
        case when oi.is_reported then volume.volume_base end as volume_base,
        concat_ws(',', oi.sources, volume.sources) as sources,
        greatest(oi.available_at, volume.available_at) as available_at
    from oi
    left join volume on oi.venue = volume.venue and oi.asset = volume.asset and oi.trade_date = volume.trade_date
)

select
    asset,
    trade_date,
    sum(oi_base) filter (where volume_base is not null) / sum(volume_base) as oi_to_volume,
    cast(count(volume_base) as int) as oi_to_volume_venues,
    sum(oi_base) filter (where volume_base is not null) / nullif(sum(oi_base), 0) as oi_to_volume_oi_share,
    {{ string_agg_list('sources') }} as source_lists,
    max(available_at) as available_at
from venues
group by asset, trade_date
having count(volume_base) > 0
