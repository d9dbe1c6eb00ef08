-- The crowd against the large, and both against options and open interest: extremes (H14) and capitulation (H08).
-- Statistics of one venue's own series are int_positioning_by_venue_daily's.
with positioning as (
    select * from intermediate.int_positioning_by_venue_daily
),

oi_by_venue as (
    select
        venue,
        asset,
        trade_date,
        oi_base,
        oi_base_before_7d,
        sources,
        available_at
    from intermediate.int_oi_by_venue_daily
),

oi_compared as (
    select asset, trade_date, sum(oi_base_before_7d) as oi_base_before_7d
    from oi_by_venue
    group by asset, trade_date
),

oi_totals as (
    select
        asset,
        trade_date,
        oi_base_change_7d,
        lag(oi_base, 7) over (partition by asset order by trade_date)
            as oi_base_week_before,
        source_lists,
        available_at
    from intermediate.int_oi_across_venues_daily
),

oi as (
    select
        oi_totals.asset,
        oi_totals.trade_date,
        oi_totals.oi_base_change_7d,
        oi_compared.oi_base_before_7d / nullif(oi_totals.oi_base_week_before, 0) as oi_compared_share_7d,
        oi_totals.source_lists,
        oi_totals.available_at
    from oi_totals
    left join oi_compared on oi_totals.asset = oi_compared.asset and oi_totals.trade_date = oi_compared.trade_date
),

options as (
    select asset, trade_date, put_call_oi_ratio, put_call_oi_percentile_90d, otm_put_oi_share, sources, available_at
    from marts.options_structure_daily
),

spine as (
    select bounds.asset, calendar.trade_date
    from (
        select asset, min(trade_date) as first_day, max(trade_date) as last_day from positioning group by asset
    ) as bounds
    inner join intermediate.int_calendar as calendar
        on calendar.trade_date between bounds.first_day and bounds.last_day
),

account_reports as (
    select venue, asset, trade_date from positioning where account_long_share is not null
),

expected as (
    select venue, asset, trade_date, trade_date as reported_on, 0 as days_silent
    from account_reports
    union all
    select
        report.venue, report.asset,
        report.trade_date + cast(silence.days as int) as trade_date,
        report.trade_date as reported_on,
        cast(silence.days as int) as days_silent
    from (
        select
            venue, asset,
            trade_date,
            coalesce(
                lead(trade_date) over (partition by venue, asset order by trade_date), date '9999-12-31'
            ) as next_report
        from account_reports
    ) as report
    cross join range(1, 7 + 1) as silence (days)
    where
        report.next_report > report.trade_date + 1
        and report.trade_date + cast(silence.days as int) < report.next_report
),

expected_venues as (
    select asset, trade_date, cast(count(*) as int) as venues_expected
    from expected
    group by asset, trade_date
),

venues as (
    select
        positioning.*,
        oi_by_venue.oi_base,
        case
            when positioning.account_long_share_percentile_90d is null then 'unknown'
            when positioning.account_long_share_percentile_90d >= 97.5e0 then 'long_crowded'
            when positioning.account_long_share_percentile_90d <= 2.5e0 then 'short_crowded'
            else 'none'
        end as positioning_extreme,
        concat_ws(',', positioning.sources, oi_by_venue.sources) as venue_sources,
        greatest(positioning.available_at, oi_by_venue.available_at) as venue_available_at
    from positioning
    left join oi_by_venue
        on positioning.venue = oi_by_venue.venue and positioning.asset = oi_by_venue.asset
        and positioning.trade_date = oi_by_venue.trade_date
),

across_venues as (
    select
        asset,
        trade_date,
        cast(count(account_long_share) as int) as venues_present,
        cast(count_if(positioning_extreme = 'long_crowded') as int) as venues_long_crowded,
        cast(count_if(positioning_extreme = 'short_crowded') as int) as venues_short_crowded,
        -- Every venue was asked which of them leads.
        string_agg(venue_sources, ',') as sources,
        max(venue_available_at) as available_at
    from venues
    group by asset, trade_date
),

-- One venue speaks for the asset: shares of different crowds have no common level, so a mean of them would move when a
-- venue joins. The one with the most open interest, but first those that know their own past.
chosen as (
    select *
    from venues
    qualify
        row_number() over (
            partition by asset, trade_date
            order by
                case when account_long_share_percentile_90d is not null then 0 else 1 end asc,
                case when account_long_share is not null then 0 else 1 end asc,
                oi_base desc nulls last,
                venue asc
        ) = 1
),

daily as (
    select
        spine.asset,
        spine.trade_date,
        chosen.venue,
        chosen.account_long_share,
        chosen.account_long_share_percentile_90d,
        chosen.account_top_long_share,
        chosen.position_top_long_share,
        chosen.taker_long_share,
        chosen.top_trader_account_gap,
        chosen.top_trader_account_gap_percentile_90d,
        chosen.top_account_retail_gap,
        coalesce(chosen.positioning_extreme, 'unknown') as positioning_extreme,
        coalesce(across_venues.venues_long_crowded, 0) as venues_long_crowded,
        coalesce(across_venues.venues_short_crowded, 0) as venues_short_crowded,
        options.put_call_oi_ratio,
        options.put_call_oi_percentile_90d,
        options.otm_put_oi_share,
        oi.oi_base_change_7d,
        oi.oi_compared_share_7d,
        -- Too small a part of the market must not speak for all of it.
        case when oi.oi_compared_share_7d >= 0.5e0 then oi.oi_base_change_7d end
            as oi_base_change_judged,
        chosen.input_grains,
        coalesce(across_venues.venues_present, 0) as venues_present,
        coalesce(expected_venues.venues_expected, 0) as venues_expected,
        nullif(concat_ws(',', across_venues.sources, oi.source_lists, options.sources), '') as day_sources,
        greatest(
            across_venues.available_at, oi.available_at, options.available_at, cast(spine.trade_date + 1 as timestamp)
        ) as day_available_at
    from spine
    left join chosen on spine.asset = chosen.asset and spine.trade_date = chosen.trade_date
    left join across_venues on spine.asset = across_venues.asset and spine.trade_date = across_venues.trade_date
    left join expected_venues on spine.asset = expected_venues.asset and spine.trade_date = expected_venues.trade_date
    left join oi on spine.asset = oi.asset and spine.trade_date = oi.trade_date
    left join options on spine.asset = options.asset and spine.trade_date = options.trade_date
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
            select distinct day_sources as gathered from daily where day_sources is not null
        ) as lists
    ) as messy
    cross join lateral unnest(messy.items) as member (item)
    group by messy.gathered
)

select
    daily.asset,
    daily.trade_date,
    daily.venue,
    daily.account_long_share,
    daily.account_long_share_percentile_90d,
    daily.account_top_long_share,
    daily.position_top_long_share,
    daily.top_trader_account_gap,
    daily.top_trader_account_gap_percentile_90d,
    daily.top_account_retail_gap,
    daily.taker_long_share,
    daily.positioning_extreme,
    daily.venues_long_crowded,
    daily.venues_short_crowded,
    daily.put_call_oi_ratio,
    daily.put_call_oi_percentile_90d,
    daily.otm_put_oi_share,
    daily.oi_base_change_7d,
    daily.oi_compared_share_7d,
    case
        when daily.put_call_oi_percentile_90d is null or daily.account_long_share_percentile_90d is null or daily.oi_base_change_judged is null then 'unknown'
        when daily.put_call_oi_percentile_90d >= 90.0e0 and daily.account_long_share_percentile_90d >= 70.0e0 and daily.oi_base_change_judged < 0 then 'on'
        else 'off'
    end as capitulation,
    daily.input_grains as input_grain,
    daily.venues_present,
    daily.venues_expected,
    daily.venues_present / cast(nullif(daily.venues_expected, 0) as double) as venue_share,
    source_lists.tidy as sources,
    -- A row rests on its windows too: it was not known before the last day of them.
    max(daily.day_available_at) over (
        partition by daily.asset order by daily.trade_date rows between unbounded preceding and current row
    ) as available_at
from daily
left join source_lists on daily.day_sources = source_lists.gathered
