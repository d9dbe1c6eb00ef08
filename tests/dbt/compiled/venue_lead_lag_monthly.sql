-- Which venue's open interest moves first: its daily change beside that of the other venues a day later and a day
-- before, as it stood when each month began. Whether open interest leads the price is oi_lead_lag_monthly's.
with venues as (
    select
        venue,
        asset,
        trade_date,
        oi_base,
        oi_base_before_1d,
        available_at
    from intermediate.int_oi_by_venue_daily
    where oi_base > 0 and oi_base_before_1d > 0
),

totals as (
    select
        asset,
        trade_date,
        sum(oi_base) as oi_base,
        sum(oi_base_before_1d) as oi_base_before_1d,
        max(available_at) as available_at
    from venues
    group by asset, trade_date
    having count(*) > 1
),

days as (
    select
        venues.venue,
        venues.asset,
        venues.trade_date,
        ln(venues.oi_base / venues.oi_base_before_1d) as own_change,
        ln((totals.oi_base - venues.oi_base) / (totals.oi_base_before_1d - venues.oi_base_before_1d)) as others_change,
        greatest(totals.available_at, cast(venues.trade_date + 1 as timestamp)) as available_at
    from venues
    inner join totals on venues.asset = totals.asset and venues.trade_date = totals.trade_date
),

-- A day counts once what the others did a day later is known.
pairs as (
    select
        today.venue,
        today.asset,
        day_after.trade_date as known_on,
        today.own_change,
        day_before.others_change as others_before,
        day_after.others_change as others_after,
        day_after.available_at
    from days as today
    inner join days as day_before
        on
            today.venue = day_before.venue
            and today.asset = day_before.asset
            and today.trade_date - 1 = day_before.trade_date
    inner join days as day_after
        on
            today.venue = day_after.venue
            and today.asset = day_after.asset
            and today.trade_date + 1 = day_after.trade_date
),

months as (
    select distinct venue, asset, cast(date_trunc('month', trade_date) as date) as trade_month
    from days
),

measured as (
    select
        months.venue,
        months.asset,
        months.trade_month,
        cast(count(pairs.own_change) as int) as pairs,
        nullif(corr(pairs.own_change, pairs.others_after), cast('NaN' as double)) as leads,
        nullif(corr(pairs.own_change, pairs.others_before), cast('NaN' as double)) as follows,
        max(pairs.available_at) as available_at
    from months
    left join pairs
        on
            months.venue = pairs.venue
            and months.asset = pairs.asset
            and months.trade_month > pairs.known_on
            and cast(months.trade_month - interval '12' month as date)
            <= pairs.known_on
    group by months.venue, months.asset, months.trade_month
),

stated as (
    select
        venue,
        asset,
        trade_month,
        pairs,
        case when pairs >= 180 then leads end as correlation_leads,
        case when pairs >= 180 then follows end as correlation_follows,
        -- Each of the two correlations errs by one over the root of the pairs.
        case
            when pairs >= 180
                then 2.58e0 * sqrt(2e0 / pairs)
        end as difference_band,
        greatest(available_at, cast(trade_month as timestamp)) as available_at
    from measured
)

select
    asset,
    venue,
    trade_month,
    pairs,
    correlation_leads,
    correlation_follows,
    correlation_leads - correlation_follows as lead_difference,
    difference_band,
    case
        when correlation_leads is null or correlation_follows is null then 'too_few_pairs'
        when floor((correlation_leads - correlation_follows) * 1e12 + 0.5e0) / 1e12 > floor((difference_band) * 1e12 + 0.5e0) / 1e12
            then 'leads'
        when floor((correlation_follows - correlation_leads) * 1e12 + 0.5e0) / 1e12 > floor((difference_band) * 1e12 + 0.5e0) / 1e12
            then 'follows'
        else 'not_distinguishable'
    end as verdict,
    available_at
from stated
