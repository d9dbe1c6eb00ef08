-- Which venue's open interest enters an asset's day, reported or carried over a short silence, beside what the same
-- venue held one, seven and thirty days before.
with reported as (
    select venue, asset, trade_date, oi_base, oi_usd, input_grain, sources, available_at
    from {{ ref('fct_open_interest_daily') }}
    where oi_base is not null
),

prices as (
    select asset, trade_date, close_usd from {{ ref('fct_price_daily') }}
),

expected as ({{ stats_expected_days('reported', ['venue', 'asset']) }}),

used as (
    select
        expected.venue,
        expected.asset,
        expected.trade_date,
        expected.reported_on,
        expected.days_silent,
        expected.days_silent = 0 as is_reported,
        -- Like with like: a carried value is neither end of a change.
        case when expected.days_silent = 0 then expected.trade_date end as compared_on,
        reported.oi_base,
        -- What a silent venue held is worth the day's close, not the price of the day it fell silent.
        case when expected.days_silent = 0 then reported.oi_usd else reported.oi_base * prices.close_usd end as oi_usd,
        reported.input_grain,
        reported.sources,
        reported.available_at
    from expected
    inner join reported
        on expected.venue = reported.venue and expected.asset = reported.asset
        and expected.reported_on = reported.trade_date
    left join prices on expected.asset = prices.asset and expected.trade_date = prices.trade_date
)

select
    used.venue,
    used.asset,
    used.trade_date,
    used.reported_on,
    used.days_silent,
    used.is_reported,
    used.oi_base,
    used.oi_usd,
    day_before.oi_base as oi_base_before_1d,
    day_before.oi_usd as oi_usd_before_1d,
    week_before.oi_base as oi_base_before_7d,
    month_before.oi_base as oi_base_before_30d,
    used.input_grain,
    used.sources,
    used.available_at
from used
left join reported as day_before
    on used.venue = day_before.venue and used.asset = day_before.asset
    and used.compared_on - {{ threshold('oi_change_short_days') }} = day_before.trade_date
left join reported as week_before
    on used.venue = week_before.venue and used.asset = week_before.asset
    and used.compared_on - {{ threshold('oi_change_week_days') }} = week_before.trade_date
left join reported as month_before
    on used.venue = month_before.venue and used.asset = month_before.asset
    and used.compared_on - {{ threshold('oi_change_month_days') }} = month_before.trade_date
