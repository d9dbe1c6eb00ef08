-- An asset's funding over its venues at each step of both frequencies, and the one rate its regime is judged by.
with points as (
    select * from {{ ref('int_funding_by_venue_slot') }}
),

steps as (
    select
        frequency,
        asset,
        trade_date,
        slot,
        cast(count(*) as int) as venues_present,
        cast(count(oi_usd_before) as int) as venues_weighted,
        sum(oi_usd_before * rate_8h) / nullif(sum(oi_usd_before), 0) as rate_8h_oi_weighted,
        sum(volume_usd_before * rate_8h) / nullif(sum(volume_usd_before), 0) as rate_8h_volume_weighted,
        median(rate_8h) as rate_8h_median,
        case when count(excess_rate_8h) = count(*)
            then sum(oi_usd_before * excess_rate_8h) / nullif(sum(oi_usd_before), 0)
        end as excess_rate_8h_oi_weighted,
        case when count(excess_rate_8h) = count(*) then median(excess_rate_8h) end as excess_rate_8h_median,
        sum(oi_usd_before) as oi_usd_weighing,
        {{ string_agg_list('sources') }} as source_lists,
        max(available_at) as available_at
    from points
    group by frequency, asset, trade_date, slot
),

judged as (
    select
        *,
        -- Open interest of a few venues must not pick whose rate counts; then every venue counts alike.
        case
            when venues_weighted >= {{ threshold('funding_weighted_share_min') }} * venues_present then 'oi_weighted'
            else 'median'
        end as rate_basis
    from steps
)

select
    frequency,
    asset,
    trade_date,
    slot,
    cast(trade_date as timestamp)
    + cast(slot * {{ threshold('funding_slot_hours') }} as int) * interval '1' hour as step_at,
    venues_present,
    venues_weighted,
    rate_8h_oi_weighted,
    rate_8h_volume_weighted,
    rate_8h_median,
    rate_basis,
    {{ stats_snap("case rate_basis when 'oi_weighted' then rate_8h_oi_weighted else rate_8h_median end") }} as rate_8h,
    -- Weighed as distances rather than as a difference of weighted means: venues exactly at neutral then stay at zero.
    {{ stats_snap(
        "case rate_basis when 'oi_weighted' then excess_rate_8h_oi_weighted else excess_rate_8h_median end"
    ) }} as excess_rate_8h,
    oi_usd_weighing,
    source_lists,
    available_at
from judged
