-- Question: Which venue reports changes of open interest that its own volume cannot explain?
-- Unit: one row per venue and month; changes and violations are counts of instrument and day, the rate a fraction.
-- Trust: more contracts cannot open or close in a day than change hands, so a violation is an error of units, of
-- volume or of timing, not of opinion. A few are expected where a day's end and a candle's end differ by minutes.
select
    venue,
    cast(date_trunc('month', trade_date) as date) as month_start,
    cast(sum(changes_checked) as bigint) as changes_checked,
    cast(sum(violations) as bigint) as violations,
    sum(violations) / cast(nullif(sum(changes_checked), 0) as double) as violation_rate,
    max(worst_change_to_volume) as worst_change_to_volume
from {{ ref('oi_plausibility_daily') }}
group by venue, cast(date_trunc('month', trade_date) as date)
order by venue, month_start
