-- What oi_trends_daily states for an asset is what the venues used for it add up to, carried ones included, in base and
-- in dollars; and what it calls reported is what the facts say of the day.
with parts as (
    select
        asset,
        trade_date,
        sum(oi_base) as oi_base,
        case when count(oi_usd) = count(*) then sum(oi_usd) end as oi_usd
    from {{ ref('int_oi_by_venue_daily') }}
    group by asset, trade_date
),

reported as (
    select asset, trade_date, sum(oi_base) as oi_base_reported
    from {{ ref('fct_open_interest_daily') }}
    where oi_base is not null and taint_reason is null
    group by asset, trade_date
)

select
    mart.asset,
    mart.trade_date,
    mart.oi_base,
    parts.oi_base as oi_base_of_parts,
    mart.oi_usd,
    parts.oi_usd as oi_usd_of_parts
from {{ ref('oi_trends_daily') }} as mart
left join parts on mart.asset = parts.asset and mart.trade_date = parts.trade_date
left join reported on mart.asset = reported.asset and mart.trade_date = reported.trade_date
where
    mart.oi_base is not null and coalesce(abs(mart.oi_base - parts.oi_base) > 1e-9 * parts.oi_base, true)
    or mart.oi_usd is not null and coalesce(abs(mart.oi_usd - parts.oi_usd) > 1e-9 * parts.oi_usd, true)
    or (mart.oi_base_reported is null) <> (reported.oi_base_reported is null)
    or abs(mart.oi_base_reported - reported.oi_base_reported) > 1e-9 * reported.oi_base_reported
