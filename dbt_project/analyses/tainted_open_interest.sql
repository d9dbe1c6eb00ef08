-- Question: On which days was open interest implausible, and is a total of today still without that venue?
-- Unit: one row per venue and asset, those with implausible days first: days known and days left out, and whether
-- the newest total of the asset lacks the venue.
-- Trust: a value left out stays in fct_open_interest_daily with its taint_reason and is in no total, window or
-- signal. It is judged by what was known that day, so a verdict never changes later; a level that stays is believed
-- in the end.
select
    oi.asset,
    oi.venue,
    count(*) as days,
    count(oi.taint_reason) as days_left_out,
    max(case when oi.taint_reason is not null then oi.trade_date end) as last_left_out,
    max(oi.taint_reason) as one_of_the_reasons,
    coalesce(contains(',' || max(latest.excluded_venues) || ',', ',' || oi.venue || ','), false) as is_left_out_now,
    max(latest.oi_change_plausible) as newest_change_plausible
from {{ ref('fct_open_interest_daily') }} as oi
left join {{ ref('latest_by_asset') }} as latest on oi.asset = latest.asset
group by oi.asset, oi.venue
order by days_left_out desc, oi.asset asc, oi.venue asc
limit 200
