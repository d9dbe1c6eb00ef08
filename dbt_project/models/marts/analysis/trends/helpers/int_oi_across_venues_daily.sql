-- An asset's open interest over its venues: totals, changes between equal sets of venues, and the level those changes
-- add up to. Statistics and states are oi_trends_daily's.
with venues as (
    select
        *,
        coalesce(oi_base_before_1d is not null, false) as is_compared_1d,
        oi_usd / nullif(oi_base, 0) as price_usd,
        oi_usd_before_1d / nullif(oi_base_before_1d, 0) as price_before_usd
    from {{ ref('int_oi_by_venue_daily') }}
),

reports as (
    select asset, trade_date from {{ ref('fct_open_interest_daily') }} where oi_base is not null
),

spine as (
    {{ stats_day_spine('reports') }}
),

totals as (
    select
        asset,
        trade_date,
        sum(oi_base) as oi_base,
        case when count(oi_usd) = count(*) then sum(oi_usd) end as oi_usd,
        sum(oi_base) filter (where is_reported) as oi_base_reported,
        sum(oi_base * oi_base) / nullif(sum(oi_base) * sum(oi_base), 0) as oi_hhi,
        cast(count_if(is_reported) as int) as venues_present,
        cast(count(*) as int) as venues_expected,
        cast(count(oi_base_before_1d) as int) as venues_compared_1d,
        cast(count(oi_base_before_7d) as int) as venues_compared_7d,
        cast(count(oi_base_before_30d) as int) as venues_compared_30d,
        sum(oi_base - oi_base_before_1d) as oi_base_change_1d,
        sum(oi_base - oi_base_before_7d) as oi_base_change_7d,
        sum(oi_base - oi_base_before_30d) as oi_base_change_30d,
        sum(oi_base_before_1d) as oi_base_before_1d,
        sum(oi_base) filter (where oi_base_before_7d is not null)
        / nullif(sum(oi_base_before_7d), 0) - 1 as oi_growth_7d,
        sum(oi_base) filter (where oi_base_before_30d is not null)
        / nullif(sum(oi_base_before_30d), 0) - 1 as oi_growth_30d,
        -- One venue without a price leaves the whole split open: a part of the venues is not the total.
        count_if(is_compared_1d and (oi_usd is null or oi_usd_before_1d is null)) as unpriced_1d,
        sum(oi_usd - oi_usd_before_1d) filter (where is_compared_1d) as oi_usd_change_1d,
        -- A venue that held nothing has no price of its own; then the other end's price values the change.
        sum((oi_base - oi_base_before_1d) * coalesce(price_before_usd, price_usd, 0)) filter (where is_compared_1d)
            as oi_usd_position_1d,
        sum(oi_base_before_1d * (coalesce(price_usd, price_before_usd, 0) - coalesce(price_before_usd, price_usd, 0)))
            filter (where is_compared_1d) as oi_usd_price_1d,
        sum(
            (oi_base - oi_base_before_1d)
            * (coalesce(price_usd, price_before_usd, 0) - coalesce(price_before_usd, price_usd, 0))
        ) filter (where is_compared_1d) as oi_usd_cross_1d,
        -- Where implausible days are all that lies between, the change over them still holds the level together.
        cast(count(taint_reason) as int) as venues_excluded,
        {{ sorted_list('case when taint_reason is not null then venue end') }} as excluded_venues,
        count(oi_base_before_taint) as venues_after_taint,
        sum(oi_base) filter (where oi_base_before_taint is not null) / nullif(sum(oi_base_before_taint), 0)
            as growth_over_taint,
        {{ sorted_list('input_grain') }} as input_grains,
        {{ string_agg_list('sources') }} as source_lists,
        max(available_at) as available_at
    from venues
    group by asset, trade_date
),

daily as (
    select
        spine.asset,
        spine.trade_date,
        -- Where every venue is silent there is nothing to hold a total up with; one that is only not believed is there.
        case when totals.venues_present + totals.venues_excluded > 0 then totals.oi_base end as oi_base,
        case when totals.venues_present + totals.venues_excluded > 0 then totals.oi_usd end as oi_usd,
        totals.oi_base_reported,
        case when totals.venues_present + totals.venues_excluded > 0 then totals.oi_hhi end as oi_hhi,
        coalesce(totals.venues_present, 0) as venues_present,
        coalesce(totals.venues_expected, 0) as venues_expected,
        coalesce(totals.venues_excluded, 0) as venues_excluded,
        totals.excluded_venues,
        coalesce(totals.venues_after_taint, 0) as venues_after_taint,
        totals.growth_over_taint,
        coalesce(totals.venues_compared_1d, 0) as venues_compared_1d,
        coalesce(totals.venues_compared_7d, 0) as venues_compared_7d,
        coalesce(totals.venues_compared_30d, 0) as venues_compared_30d,
        totals.oi_base_change_1d,
        totals.oi_base_change_7d,
        totals.oi_base_change_30d,
        totals.oi_base_before_1d,
        totals.oi_base_change_1d / nullif(totals.oi_base_before_1d, 0) as oi_growth_1d,
        totals.oi_growth_7d,
        totals.oi_growth_30d,
        case when totals.unpriced_1d = 0 then totals.oi_usd_change_1d end as oi_usd_change_1d,
        case when totals.unpriced_1d = 0 then totals.oi_usd_position_1d end as oi_usd_position_1d,
        case when totals.unpriced_1d = 0 then totals.oi_usd_price_1d end as oi_usd_price_1d,
        case when totals.unpriced_1d = 0 then totals.oi_usd_cross_1d end as oi_usd_cross_1d,
        totals.input_grains,
        totals.source_lists,
        totals.available_at
    from spine
    left join totals on spine.asset = totals.asset and spine.trade_date = totals.trade_date
),

changes as (
    select
        *,
        case when oi_growth_1d > -1 then ln(1 + oi_growth_1d) end as oi_log_change_1d,
        case when oi_base > 0 then ln(oi_base) end as oi_log_total,
        lag(oi_base) over by_day as oi_base_day_before,
        lag(venues_expected) over by_day as venues_expected_day_before
    from daily
    window by_day as (partition by asset order by trade_date)
),

-- The step of the level: the change. Over implausible days of the only venues it is 0 on the day, and all of it after.
stepped as (
    select
        *,
        case
            when oi_log_change_1d is not null then oi_log_change_1d
            when venues_present = 0 and venues_excluded = venues_expected and venues_excluded > 0
                and venues_expected = venues_expected_day_before
                then 0e0
            when venues_after_taint = venues_expected and venues_expected = venues_expected_day_before
                and growth_over_taint > 0
                then ln(growth_over_taint)
        end as oi_log_step
    from changes
),

linked as (
    select
        *,
        oi_base_before_1d / nullif(oi_base_day_before, 0) as oi_compared_share_1d,
        -- A day no venue can be compared over starts the level anew; windows must not reach across it.
        sum(case when oi_log_step is null or oi_log_total is null then 1 else 0 end) over so_far as level_segment,
        -- What the total moved by venues coming and going. Exactly zero while the set is the same, so that the level is
        -- then the total itself to the last digit.
        case
            when venues_compared_1d = venues_expected and venues_compared_1d = venues_expected_day_before then 0e0
            when oi_log_change_1d is null and oi_log_step is not null then 0e0
            when oi_log_change_1d is not null and oi_base_day_before > 0
                then oi_log_change_1d - (oi_log_total - ln(oi_base_day_before))
        end as link_step
    from stepped
    window so_far as (partition by asset order by trade_date rows between unbounded preceding and current row)
),

levels as (
    select
        *,
        coalesce(
            sum(case when oi_log_step is null then 0e0 else link_step end) over so_far, 0
        ) as link
    from linked
    window so_far as (
        partition by asset, level_segment
        order by trade_date rows between unbounded preceding and current row
    )
)

select
    asset,
    trade_date,
    oi_base,
    oi_usd,
    oi_base_reported,
    oi_hhi,
    venues_present,
    venues_expected,
    venues_compared_1d,
    venues_compared_7d,
    venues_compared_30d,
    oi_compared_share_1d,
    oi_base_change_1d,
    oi_base_change_7d,
    oi_base_change_30d,
    oi_growth_1d,
    oi_growth_7d,
    oi_growth_30d,
    oi_usd_change_1d,
    oi_usd_position_1d,
    oi_usd_price_1d,
    oi_usd_cross_1d,
    oi_log_change_1d,
    oi_log_step,
    venues_excluded,
    excluded_venues,
    cast(level_segment as int) as level_segment,
    oi_base * exp(link) as oi_base_chain_linked,
    oi_log_total + link as oi_log_level,
    input_grains,
    source_lists,
    available_at
from levels
