-- Question: On which days was open interest implausible, and is a total of today still without that venue?
-- Unit: one row per venue, asset and day left out: open interest in coins and dollars as stated; is_left_out_now tells
-- whether the newest total of the asset lacks the venue.
-- Trust: the stated value is kept here and is in no total, window or signal. It is judged by what was known that day,
-- so a verdict never changes later; a level that stays is believed after four days.
select
    oi.trade_date,
    oi.asset,
    oi.venue,
    oi.oi_base,
    oi.oi_usd,
    oi.taint_reason,
    coalesce(contains(',' || latest.excluded_venues || ',', ',' || oi.venue || ','), false) as is_left_out_now
from {{ ref('fct_open_interest_daily') }} as oi
left join {{ ref('latest_by_asset') }} as latest on oi.asset = latest.asset
where oi.taint_reason is not null
order by oi.trade_date desc, oi.asset asc, oi.venue asc
