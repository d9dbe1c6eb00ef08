-- How far a venue's open interest can be believed: the share of its changes that exceed what was traded. The check of
-- a single instrument is int_oi_plausibility_daily's.
with checks as (
    select * from intermediate.int_oi_plausibility_daily
),

worst as (
    select venue, trade_date, instrument, change_to_volume
    from checks
    where change_to_volume is not null
    qualify row_number() over (partition by venue, trade_date order by change_to_volume desc, instrument asc) = 1
),

days as (
    select
        venue,
        trade_date,
        count(*) as changes_checked,
        count_if(not is_plausible) as violations,
        max(available_at) as available_at
    from checks
    group by venue, trade_date
),

windowed as (
    select
        *,
        sum(changes_checked) over lately as changes_checked_30d,
        sum(violations) over lately as violations_30d,
        max(available_at) over so_far as known_at
    from days
    window
        -- A measure of quality rather than a signal: the day itself counts, and a venue is judged on the days it has.
        lately as (
            partition by venue order by trade_date
            range between interval '29' day preceding
            and current row
        ),
        so_far as (partition by venue order by trade_date rows between unbounded preceding and current row)
)

select
    windowed.venue,
    windowed.trade_date,
    cast(windowed.changes_checked as int) as changes_checked,
    cast(windowed.violations as int) as violations,
    windowed.violations / cast(windowed.changes_checked as double) as violation_rate,
    cast(windowed.changes_checked_30d as int) as changes_checked_30d,
    cast(windowed.violations_30d as int) as violations_30d,
    windowed.violations_30d / cast(windowed.changes_checked_30d as double) as violation_rate_30d,
    worst.instrument as worst_instrument,
    worst.change_to_volume as worst_change_to_volume,
    greatest(windowed.known_at, cast(windowed.trade_date + 1 as timestamp)) as available_at
from windowed
left join worst on windowed.venue = worst.venue and windowed.trade_date = worst.trade_date
