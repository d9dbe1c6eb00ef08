-- States and statistics of an asset's open interest. How venues add up, and what a silent venue does to the total, is
-- int_oi_across_venues_daily's business.
with oi as (
    select * from intermediate.int_oi_across_venues_daily
),

price_windows as (
    select
        asset,
        trade_date,
        close_usd,
        log_return,
        realized_vol_30d_daily,
        volume_base,
        volume_venues,
        -- Volume has no like-with-like change to fall back on: across a changed number of venues it is not judged.
        case when count(volume_base) over before = 30 then quantile_cont(volume_base, 0.8e0) over before end as volume_high_30d,
        min(volume_venues) over before = volume_venues
        and max(volume_venues) over before = volume_venues as is_volume_comparable,
        sources,
        available_at
    from marts.fct_price_daily
    window before as (
        partition by asset order by trade_date
        range between interval '30' day preceding and interval '1' day preceding
    )
),

oi_windows as (
    select
        asset,
        trade_date,
        case when count(oi_log_step) over month_before = 30 then stddev_samp(oi_log_step) over month_before end as oi_log_change_sd_30d,
        case
        when
            count(oi_log_level) over quarter_before = 90
            and max(oi_log_level) over quarter_before > min(oi_log_level) over quarter_before
            then (oi_log_level - avg(oi_log_level) over quarter_before) / nullif(stddev_samp(oi_log_level) over quarter_before, 0)
    end as oi_zscore_90d
    from oi
    window
        month_before as (
            partition by asset, level_segment
            order by trade_date rows between 30 preceding and 1 preceding
        ),
        quarter_before as (
            partition by asset, level_segment
            order by trade_date rows between 90 preceding and 1 preceding
        )
),

snapped_levels as (
    select asset, level_segment, trade_date, floor((oi_log_level) * 1e12 + 0.5e0) / 1e12 as oi_log_level from oi
),

oi_ranks as (

    select
        asset, level_segment,
        trade_date,
        100 * ((below + 0.5e0 * (365 - below - above)) / 365) as percentile
    from (
        select
            asset, level_segment,
            trade_date,
            oi_log_level as judged,
            count(oi_log_level) over through_today as known,
            rank(order by oi_log_level nulls last) over through_today - 1 as below,
            rank(order by oi_log_level desc nulls last) over through_today - 1 as above
        from snapped_levels
        window through_today as (
            partition by asset, level_segment order by trade_date rows between 365 preceding and current row
        )
    ) as ranked
    where known = 365 + 1 and judged is not null

),

plausibility as (
    select
        asset,
        trade_date,
        count(*) as oi_changes_checked,
        count_if(not is_plausible) as oi_changes_implausible,
        max(available_at) as available_at
    from intermediate.int_oi_plausibility_daily
    group by asset, trade_date
),

-- The profile of the months before holds for the whole month.
leads as (
    select
        asset,
        trade_month,
        max(lag_days) filter (where is_best) as oi_lead_days,
        max(correlation) filter (where is_best) as oi_lead_correlation,
        max(correlation_band) filter (where is_best) as oi_lead_band,
        max(pairs) as oi_lead_pairs
    from marts.oi_lead_lag_monthly
    group by asset, trade_month
),

measured as (
    select
        oi.*,
        coalesce(plausibility.oi_changes_checked, 0) as oi_changes_checked,
        plausibility.oi_changes_implausible,
        leads.oi_lead_days,
        leads.oi_lead_correlation,
        leads.oi_lead_band,
        coalesce(leads.oi_lead_pairs, 0) as oi_lead_pairs,
        oi_windows.oi_log_change_sd_30d,
        oi_windows.oi_zscore_90d,
        oi_ranks.percentile as oi_percentile_365d,
        price_windows.close_usd,
        price_windows.log_return,
        price_windows.realized_vol_30d_daily,
        price_windows.volume_base,
        price_windows.volume_venues,
        price_windows.volume_high_30d,
        price_windows.is_volume_comparable,
        concat_ws(',', oi.source_lists, price_windows.sources) as day_sources,
        greatest(
            oi.available_at, price_windows.available_at, plausibility.available_at, cast(oi.trade_date + 1 as timestamp)
        ) as day_available_at,
        -- Both sides of every comparison on one grid, so that a value on the border is on the border in every run.
        floor((price_windows.log_return) * 1e12 + 0.5e0) / 1e12 as price_return,
        abs(floor((price_windows.log_return) * 1e12 + 0.5e0) / 1e12) as price_move,
        floor((oi.oi_log_change_1d) * 1e12 + 0.5e0) / 1e12 as oi_change,
        floor((oi.oi_growth_1d) * 1e12 + 0.5e0) / 1e12 as oi_growth,
        floor((0.5e0 * price_windows.realized_vol_30d_daily) * 1e12 + 0.5e0) / 1e12
            as quadrant_return_border,
        floor((0.5e0 * oi_windows.oi_log_change_sd_30d) * 1e12 + 0.5e0) / 1e12
            as quadrant_oi_border,
        -- Too small a part of the market must not speak for all of it.
        case when oi.oi_compared_share_1d >= 0.5e0 then true end as is_comparable
    from oi
    left join oi_windows on oi.asset = oi_windows.asset and oi.trade_date = oi_windows.trade_date
    left join oi_ranks on oi.asset = oi_ranks.asset and oi.trade_date = oi_ranks.trade_date
    left join price_windows on oi.asset = price_windows.asset and oi.trade_date = price_windows.trade_date
    left join plausibility on oi.asset = plausibility.asset and oi.trade_date = plausibility.trade_date
    left join leads
        on oi.asset = leads.asset and cast(date_trunc('month', oi.trade_date) as date) = leads.trade_month
),

judged as (
    select
        *,
        case
            when
                price_return is null or oi_change is null or is_comparable is null
                or quadrant_return_border is null or quadrant_oi_border is null
                then 'unknown'
            when price_return > quadrant_return_border and oi_change > quadrant_oi_border then 'long_build_up'
            when price_return < -quadrant_return_border and oi_change > quadrant_oi_border then 'short_build_up'
            when price_return > quadrant_return_border and oi_change < -quadrant_oi_border then 'short_covering'
            when price_return < -quadrant_return_border and oi_change < -quadrant_oi_border then 'long_unwinding'
            else 'neutral'
        end as quadrant,
        case
        when oi_growth is null or price_move is null or realized_vol_30d_daily is null or is_comparable is null then 'unknown'
        when oi_growth >= 0.08e0 and price_move <= floor((0.5e0 * realized_vol_30d_daily) * 1e12 + 0.5e0) / 1e12 then 'on'
        else 'off'
    end as expansion,
        case
        when volume_base is null or volume_high_30d is null or nullif(is_volume_comparable, false) is null then 'unknown'
        when volume_base >= volume_high_30d then 'on'
        else 'off'
    end as volume_surge,
        case
            when
                price_return is null or oi_change is null or is_comparable is null
                or realized_vol_30d_daily is null or oi_log_change_sd_30d is null
                then 'unknown'
            when oi_change > floor((0.5e0 * oi_log_change_sd_30d) * 1e12 + 0.5e0) / 1e12 and price_return <= -floor((1.0e0 * realized_vol_30d_daily) * 1e12 + 0.5e0) / 1e12 then 'bought_dip'
            when oi_change < -floor((0.5e0 * oi_log_change_sd_30d) * 1e12 + 0.5e0) / 1e12 and price_return <= -floor((1.0e0 * realized_vol_30d_daily) * 1e12 + 0.5e0) / 1e12 then 'deleveraging'
            when price_return <= -floor((1.0e0 * realized_vol_30d_daily) * 1e12 + 0.5e0) / 1e12 then 'neutral'
            else 'none'
        end as divergence
    from measured
),

source_lists as (
    select
        messy.gathered,
        array_to_string(list_sort(list_distinct(list(member.item) filter (where member.item is not null))), ',') as tidy
    from (
        select
            gathered,
            string_split(gathered, ',') as items
        from (
            select distinct day_sources as gathered from judged where day_sources is not null
        ) as lists
    ) as messy
    cross join lateral unnest(messy.items) as member (item)
    group by messy.gathered
)

select
    judged.asset,
    judged.trade_date,
    judged.oi_base,
    judged.oi_usd,
    judged.oi_base_reported,
    judged.oi_base_chain_linked,
    judged.venues_present,
    judged.venues_expected,
    judged.venues_present / cast(nullif(judged.venues_expected, 0) as double) as venue_share,
    judged.oi_base_reported / nullif(judged.oi_base, 0) as oi_reported_share,
    judged.venues_excluded,
    judged.excluded_venues,
    judged.oi_base_change_1d,
    judged.oi_base_change_7d,
    judged.oi_base_change_30d,
    judged.oi_growth_1d,
    judged.oi_growth_7d,
    judged.oi_growth_30d,
    judged.venues_compared_1d,
    judged.venues_compared_7d,
    judged.venues_compared_30d,
    judged.oi_compared_share_1d,
    judged.oi_usd_change_1d,
    judged.oi_usd_position_1d,
    judged.oi_usd_price_1d,
    judged.oi_usd_cross_1d,
    judged.oi_log_change_1d,
    judged.oi_log_change_sd_30d,
    judged.oi_zscore_90d,
    judged.oi_percentile_365d,
    judged.oi_hhi,
    judged.close_usd,
    judged.log_return,
    judged.realized_vol_30d_daily,
    judged.volume_base,
    judged.volume_venues,
    judged.volume_high_30d,
    judged.quadrant,
    judged.expansion,
    judged.volume_surge,
    case
        when judged.expansion = 'unknown' or judged.volume_surge = 'unknown' then 'unknown'
        when judged.expansion = 'on' and judged.volume_surge = 'on' then 'on'
        else 'off'
    end as expansion_confirmed,
    judged.divergence,
    cast(judged.oi_changes_checked as int) as oi_changes_checked,
    cast(judged.oi_changes_implausible as int) as oi_changes_implausible,
    case
        when judged.oi_changes_implausible is null then 'unknown'
        when judged.oi_changes_implausible = 0 then 'on'
        else 'off'
    end as oi_change_plausible,
    judged.oi_lead_days,
    judged.oi_lead_correlation,
    judged.oi_lead_band,
    judged.oi_lead_pairs,
    judged.input_grains as input_grain,
    source_lists.tidy as sources,
    -- A row rests on its windows and carried values too: it was not known before the last of them.
    max(judged.day_available_at) over (
        partition by judged.asset order by judged.trade_date rows between unbounded preceding and current row
    ) as available_at
from judged
left join source_lists on judged.day_sources = source_lists.gathered
