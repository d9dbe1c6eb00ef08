-- Which venue's open interest enters an asset's day, reported or carried over a short silence, beside what the same
-- venue held one, seven and thirty days before.
with stated as (
    select
        *,
        count(taint_reason) over (
            partition by venue, asset order by trade_date rows between unbounded preceding and current row
        ) as tainted_so_far
    from {{ ref('fct_open_interest_daily') }}
    where oi_base is not null
),

-- An implausible value is none: the venue counts as silent. If nothing but implausible days lie between two reports,
-- the later one is beside what it can be held against, so that a level need not start anew.
reported as (
    select
        venue,
        asset,
        trade_date,
        oi_base,
        oi_usd,
        cast(tainted_so_far - lag(tainted_so_far) over reports as int) as tainted_between,
        lag(trade_date) over reports as reported_before,
        lag(oi_base) over reports as oi_base_reported_before,
        input_grain,
        sources,
        available_at
    from stated
    where taint_reason is null
    window reports as (partition by venue, asset order by trade_date)
),

prices as (
    select asset, trade_date, close_usd from {{ ref('fct_price_daily') }}
),

-- Where every contract on the asset has ended, silence is no gap.
gone as (
    select
        venue,
        asset,
        max(coalesce(cast(ended_at as date), valid_to)) as gone_from
    from {{ ref('int_instruments') }}
    group by venue, asset
),

expected as ({{ stats_expected_days('reported', ['venue', 'asset']) }}),

-- Like with like: a carried value is neither end of a change.
compared as (
    select
        today.venue,
        today.asset,
        today.trade_date,
        today.trade_date as reported_on,
        0 as days_silent,
        true as is_reported,
        today.oi_base,
        today.oi_usd,
        day_before.oi_base as oi_base_before_1d,
        day_before.oi_usd as oi_usd_before_1d,
        week_before.oi_base as oi_base_before_7d,
        month_before.oi_base as oi_base_before_30d,
        case
            when
                today.tainted_between between 1 and {{ threshold('venue_expected_days') }}
                and today.reported_before = today.trade_date - today.tainted_between - 1
                then today.oi_base_reported_before
        end as oi_base_before_taint,
        cast(null as string) as taint_reason,
        today.input_grain,
        today.sources,
        today.available_at
    from reported as today
    left join reported as day_before
        on today.venue = day_before.venue and today.asset = day_before.asset
        and today.trade_date - {{ threshold('oi_change_short_days') }} = day_before.trade_date
    left join reported as week_before
        on today.venue = week_before.venue and today.asset = week_before.asset
        and today.trade_date - {{ threshold('oi_change_week_days') }} = week_before.trade_date
    left join reported as month_before
        on today.venue = month_before.venue and today.asset = month_before.asset
        and today.trade_date - {{ threshold('oi_change_month_days') }} = month_before.trade_date
),

carried as (
    select
        expected.venue,
        expected.asset,
        expected.trade_date,
        expected.reported_on,
        expected.days_silent,
        false as is_reported,
        reported.oi_base,
        -- What a silent venue held is worth the day's close, not the price of the day it fell silent.
        reported.oi_base * prices.close_usd as oi_usd,
        cast(null as double) as oi_base_before_1d,
        cast(null as double) as oi_usd_before_1d,
        cast(null as double) as oi_base_before_7d,
        cast(null as double) as oi_base_before_30d,
        cast(null as double) as oi_base_before_taint,
        stated.taint_reason,
        reported.input_grain,
        reported.sources,
        greatest(reported.available_at, coalesce(stated.available_at, reported.available_at)) as available_at
    from expected
    inner join reported
        on expected.venue = reported.venue and expected.asset = reported.asset
        and expected.reported_on = reported.trade_date
    left join stated
        on expected.venue = stated.venue and expected.asset = stated.asset and expected.trade_date = stated.trade_date
    left join prices on expected.asset = prices.asset and expected.trade_date = prices.trade_date
    left join gone on expected.venue = gone.venue and expected.asset = gone.asset
    where
        expected.days_silent > 0
        and (gone.gone_from is null or expected.trade_date < gone.gone_from)
),

used as (
    select * from compared
    union all
    select * from carried
)

select
    venue,
    asset,
    trade_date,
    reported_on,
    days_silent,
    is_reported,
    oi_base,
    oi_usd,
    oi_base_before_1d,
    oi_usd_before_1d,
    oi_base_before_7d,
    oi_base_before_30d,
    oi_base_before_taint,
    taint_reason,
    input_grain,
    sources,
    available_at
from used
