-- What the option chains of a day say about an asset, over the venues whose chain is whole. Volatility is one venue's:
-- the one with the most open interest among those that publish it.
with snapshots as (
    select * from intermediate.int_option_snapshots_daily
),

strikes as (
    select * from marts.fct_option_oi_by_strike_daily
    where is_whole_chain
),

chain_days as (
    select
        asset,
        trade_date,
        cast(count_if(is_whole_chain) as int) as venues_present,
        cast(count(*) - count_if(is_whole_chain) as int) as venues_partial,
        min(chain_completeness) as chain_completeness,
        max(snapshot_at) as snapshot_at,
        array_to_string(list_sort(list_distinct(list(source) filter (where source is not null))), ',') as sources,
        max(available_at) as available_at
    from snapshots
    group by asset, trade_date
),

whole_chains as (
    select venue, asset, trade_date from snapshots where is_whole_chain
),

expected as (
    select venue, asset, trade_date, trade_date as reported_on, 0 as days_silent
    from whole_chains
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
        from whole_chains
    ) as report
    cross join range(1, 7 + 1) as silence (days)
    where
        report.next_report > report.trade_date + 1
        and report.trade_date + cast(silence.days as int) < report.next_report
),

expected_venues as (
    select asset, trade_date, cast(count(*) as int) as venues_expected from expected group by asset, trade_date
),

totals as (
    select
        asset,
        trade_date,
        array_to_string(list_sort(list_distinct(list(venue) filter (where venue is not null))), ',') as venues,
        sum(oi_base) as oi_base,
        case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd,
        sum(oi_base) filter (where option_type = 'call') as call_oi_base,
        sum(oi_base) filter (where option_type = 'put') as put_oi_base,
        sum(volume_24h_base) filter (where option_type = 'call') as call_volume_base,
        sum(volume_24h_base) filter (where option_type = 'put') as put_volume_base,
        -- A put is far out of the money by the index its own venue's capture saw.
        case
            when count(*) = count(index_usd)
                then
                    coalesce(
                        sum(oi_base) filter (
                            where option_type = 'put'
                            and strike_usd < 0.9e0 * index_usd
                        ), 0e0
                    )
        end as otm_put_oi_base,
        cast(count(distinct expiry_date) as int) as expiries
    from strikes
    group by asset, trade_date
),

strike_sums as (
    select
        asset,
        trade_date,
        option_type,
        strike_usd,
        sum(oi_base) as oi_base,
        floor((sum(oi_base)) * 1e6 + 0.5e0) / 1e6 as ranked_oi_base
    from strikes
    group by asset, trade_date, option_type, strike_usd
),

walls as (
    select *
    from strike_sums
    where oi_base > 0
    qualify
        row_number() over (partition by asset, trade_date, option_type order by ranked_oi_base desc, strike_usd asc) = 1
),

wall_days as (
    select
        asset,
        trade_date,
        max(strike_usd) filter (where option_type = 'call') as call_wall_strike_usd,
        max(oi_base) filter (where option_type = 'call') as call_wall_oi_base,
        max(strike_usd) filter (where option_type = 'put') as put_wall_strike_usd,
        max(oi_base) filter (where option_type = 'put') as put_wall_oi_base
    from walls
    group by asset, trade_date
),

-- An expiry that nobody holds is not the next one.
pains as (
    select
        *,
        row_number() over (partition by asset, trade_date order by expiry_date) as nearness,
        row_number() over (
            partition by asset, trade_date order by floor((oi_base) * 1e6 + 0.5e0) / 1e6 desc, expiry_date
        ) as size_rank
    from marts.options_max_pain_daily
    where oi_base > 0
),

pain_days as (
    select
        asset,
        trade_date,
        max(expiry_date) filter (where nearness = 1) as max_pain_nearest_expiry_date,
        max(max_pain_usd) filter (where nearness = 1) as max_pain_nearest_usd,
        bool_or(is_tie) filter (where nearness = 1) as max_pain_nearest_is_tie,
        max(expiry_date) filter (where size_rank = 1) as max_pain_largest_expiry_date,
        max(max_pain_usd) filter (where size_rank = 1) as max_pain_largest_usd,
        bool_or(is_tie) filter (where size_rank = 1) as max_pain_largest_is_tie
    from pains
    group by asset, trade_date
),

venue_days as (
    select
        asset,
        trade_date,
        venue,
        sum(oi_base) as oi_base,
        max(index_usd) as index_usd,
        bool_or(mark_iv > 0) as has_iv
    from strikes
    group by asset, trade_date, venue
),

lead_venues as (
    select
        asset,
        trade_date,
        venue,
        index_usd,
        coalesce(has_iv, false) as has_iv
    from venue_days
    qualify
        row_number() over (
            partition by asset, trade_date
            order by case when has_iv then 1 else 2 end, floor((oi_base) * 1e6 + 0.5e0) / 1e6 desc, venue
        ) = 1
),

-- Volatility at both constant maturities, with the venue that states it.
tenors as (
    select
        asset,
        trade_date,
        venue,
        tenor_days,
        is_spanned,
        iv_atm,
        iv_call_25d - iv_put_25d as risk_reversal_25d
    from intermediate.int_option_tenors_daily
),

spine as (
    select bounds.asset, calendar.trade_date
    from (
        select asset, min(trade_date) as first_day, max(trade_date) as last_day from chain_days group by asset
    ) as bounds
    inner join intermediate.int_calendar as calendar
        on calendar.trade_date between bounds.first_day and bounds.last_day
),

-- The ratio of every calendar day, so that 90 rows are 90 days; on one grid, since it is ranked.
ratios as (
    select
        spine.asset,
        spine.trade_date,
        floor((totals.put_oi_base / nullif(totals.call_oi_base, 0)) * 1e12 + 0.5e0) / 1e12 as put_call_oi_ratio
    from spine
    left join totals on spine.asset = totals.asset and spine.trade_date = totals.trade_date
),

ratio_ranks as (

    select
        asset,
        trade_date,
        100 * ((below + 0.5e0 * (90 - below - above)) / 90) as percentile
    from (
        select
            asset,
            trade_date,
            put_call_oi_ratio as judged,
            count(put_call_oi_ratio) over through_today as known,
            rank(order by put_call_oi_ratio nulls last) over through_today - 1 as below,
            rank(order by put_call_oi_ratio desc nulls last) over through_today - 1 as above
        from ratios
        window through_today as (
            partition by asset order by trade_date rows between 90 preceding and current row
        )
    ) as ranked
    where known = 90 + 1 and judged is not null

),

measured as (
    select
        chain_days.asset,
        chain_days.trade_date,
        chain_days.snapshot_at,
        chain_days.venues_present,
        chain_days.venues_partial,
        coalesce(expected_venues.venues_expected, 0) as venues_expected,
        chain_days.chain_completeness,
        chain_days.sources,
        chain_days.available_at,
        totals.venues,
        totals.oi_base,
        totals.oi_usd,
        totals.call_oi_base,
        totals.put_oi_base,
        totals.call_volume_base,
        totals.put_volume_base,
        totals.otm_put_oi_base,
        totals.expiries,
        ratio_ranks.percentile as put_call_oi_percentile_90d,
        wall_days.call_wall_strike_usd,
        wall_days.call_wall_oi_base,
        wall_days.put_wall_strike_usd,
        wall_days.put_wall_oi_base,
        pain_days.max_pain_nearest_expiry_date,
        pain_days.max_pain_nearest_usd,
        pain_days.max_pain_nearest_is_tie,
        pain_days.max_pain_largest_expiry_date,
        pain_days.max_pain_largest_usd,
        pain_days.max_pain_largest_is_tie,
        lead_venues.index_usd,
        case when lead_venues.has_iv then lead_venues.venue end as iv_venue,
        in_a_week.iv_atm as iv_atm_7d,
        in_a_week.risk_reversal_25d as risk_reversal_25d_7d,
        -in_a_week.risk_reversal_25d / nullif(in_a_week.iv_atm, 0) as skew_25d_7d,
        case
            when chain_days.venues_present = 0 then 'partial_chain'
            when not lead_venues.has_iv then 'no_iv'
            when not coalesce(in_a_week.is_spanned, false) then 'outside_expiries'
            when in_a_week.iv_atm is null or in_a_week.risk_reversal_25d is null then 'incomplete_smile'
            else 'known'
        end as iv_status_7d,
        in_a_month.iv_atm as iv_atm_30d,
        in_a_month.risk_reversal_25d as risk_reversal_25d_30d,
        -in_a_month.risk_reversal_25d / nullif(in_a_month.iv_atm, 0) as skew_25d_30d,
        case
            when chain_days.venues_present = 0 then 'partial_chain'
            when not lead_venues.has_iv then 'no_iv'
            when not coalesce(in_a_month.is_spanned, false) then 'outside_expiries'
            when in_a_month.iv_atm is null or in_a_month.risk_reversal_25d is null then 'incomplete_smile'
            else 'known'
        end as iv_status_30d
    from chain_days
    left join expected_venues
        on chain_days.asset = expected_venues.asset and chain_days.trade_date = expected_venues.trade_date
    left join totals on chain_days.asset = totals.asset and chain_days.trade_date = totals.trade_date
    left join ratio_ranks on chain_days.asset = ratio_ranks.asset and chain_days.trade_date = ratio_ranks.trade_date
    left join wall_days on chain_days.asset = wall_days.asset and chain_days.trade_date = wall_days.trade_date
    left join pain_days on chain_days.asset = pain_days.asset and chain_days.trade_date = pain_days.trade_date
    left join lead_venues on chain_days.asset = lead_venues.asset and chain_days.trade_date = lead_venues.trade_date
    left join tenors as in_a_week
        on
            chain_days.asset = in_a_week.asset
            and chain_days.trade_date = in_a_week.trade_date
            and lead_venues.venue = in_a_week.venue
            and in_a_week.tenor_days = 7
    left join tenors as in_a_month
        on
            chain_days.asset = in_a_month.asset
            and chain_days.trade_date = in_a_month.trade_date
            and lead_venues.venue = in_a_month.venue
            and in_a_month.tenor_days = 30
)

select
    asset,
    trade_date,
    snapshot_at,
    index_usd,
    oi_base,
    oi_usd,
    call_oi_base,
    put_oi_base,
    call_volume_base as call_volume_24h_base,
    put_volume_base as put_volume_24h_base,
    put_oi_base / nullif(call_oi_base, 0) as put_call_oi_ratio,
    put_volume_base / nullif(call_volume_base, 0) as put_call_volume_ratio,
    case
        when venues_present = 0 then 'partial_chain'
        when oi_base = 0 then 'no_open_interest'
        when coalesce(call_oi_base, 0) = 0 then 'no_calls'
        when put_oi_base is null then 'no_puts'
        else 'known'
    end as put_call_status,
    put_call_oi_percentile_90d,
    otm_put_oi_base / nullif(put_oi_base, 0) as otm_put_oi_share,
    call_wall_strike_usd,
    call_wall_oi_base,
    call_wall_oi_base / nullif(call_oi_base, 0) as call_wall_oi_share,
    put_wall_strike_usd,
    put_wall_oi_base,
    put_wall_oi_base / nullif(put_oi_base, 0) as put_wall_oi_share,
    max_pain_nearest_expiry_date,
    max_pain_nearest_usd,
    max_pain_nearest_is_tie,
    max_pain_largest_expiry_date,
    max_pain_largest_usd,
    max_pain_largest_is_tie,
    iv_venue,
    iv_atm_7d,
    risk_reversal_25d_7d,
    skew_25d_7d,
    iv_status_7d,
    iv_atm_30d,
    risk_reversal_25d_30d,
    skew_25d_30d,
    iv_status_30d,
    coalesce(expiries, 0) as expiries,
    venues,
    venues_present,
    venues_partial,
    venues_expected,
    venues_present / cast(nullif(venues_expected, 0) as double) as venue_share,
    chain_completeness,
    sources,
    -- The percentile rests on the days before: no row was known before the last of them.
    max(greatest(available_at, cast(trade_date + 1 as timestamp))) over (
        partition by asset order by trade_date rows between unbounded preceding and current row
    ) as available_at
from measured
