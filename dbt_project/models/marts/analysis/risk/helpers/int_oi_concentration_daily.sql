-- How concentrated an asset's open interest is over an unchanging set of venues, so that a venue coming, going or
-- falling silent is not read as concentration. The index of the day itself is oi_hhi of oi_trends_daily.
with venues as (
    select * from {{ ref('int_oi_by_venue_daily') }}
),

totals as (
    select
        asset,
        trade_date,
        oi_hhi,
        level_segment,
        venues_expected,
        venues_compared_1d,
        lag(oi_hhi) over by_day as oi_hhi_day_before,
        lag(venues_expected) over by_day as venues_expected_day_before
    from {{ ref('int_oi_across_venues_daily') }}
    window by_day as (partition by asset, level_segment order by trade_date)
),

-- The index of the venues that reported both days, on either day.
compared as (
    select
        asset,
        trade_date,
        sum(oi_base * oi_base) / nullif(sum(oi_base) * sum(oi_base), 0) as oi_hhi,
        sum(oi_base_before_1d * oi_base_before_1d)
        / nullif(sum(oi_base_before_1d) * sum(oi_base_before_1d), 0) as oi_hhi_before
    from venues
    where oi_base_before_1d is not null
    group by asset, trade_date
),

steps as (
    select
        totals.asset,
        totals.trade_date,
        totals.level_segment,
        totals.oi_hhi,
        -- What the index moved by venues coming and going. Exactly zero while the set is the same.
        case
            when
                totals.venues_compared_1d = totals.venues_expected
                and totals.venues_compared_1d = totals.venues_expected_day_before
                then 0e0
            when
                compared.oi_hhi > 0 and compared.oi_hhi_before > 0
                and totals.oi_hhi > 0 and totals.oi_hhi_day_before > 0
                then ln(compared.oi_hhi / compared.oi_hhi_before) - ln(totals.oi_hhi / totals.oi_hhi_day_before)
            else 0e0
        end as link_step
    from totals
    left join compared on totals.asset = compared.asset and totals.trade_date = compared.trade_date
)

select
    asset,
    trade_date,
    level_segment,
    {{ stats_snap('oi_hhi * exp(sum(link_step) over so_far)') }} as oi_hhi_chain_linked
from steps
window so_far as (
    partition by asset, level_segment
    order by trade_date rows between unbounded preceding and current row
)
