with settlements as (
    select * from {{ ref('stg_funding_rates') }}
    where kind = 'settled'
),

gaps as (
    select
        source,
        venue,
        instrument,
        settled_at,
        rate,
        interval_hours as stated_hours,
        {{ hours_between('lag(settled_at, 2) over series', 'lag(settled_at) over series') }} as gap_before_that,
        {{ hours_between('lag(settled_at) over series', 'settled_at') }} as gap_before,
        {{ hours_between('settled_at', 'lead(settled_at) over series') }} as gap_after,
        available_at,
        trade_date
    from settlements
    window series as (partition by source, venue, instrument order by settled_at)
),

-- A gap seen twice in a row is an interval. A gap seen once may be a missing settlement.
confirmed as (
    select
        *,
        least(coalesce(gap_before, gap_after), coalesce(gap_after, gap_before)) as shorter_gap,
        case
            when
                gap_before between 1 and {{ threshold('funding_interval_max_hours') }}
                and (gap_before = gap_after or gap_before = gap_before_that)
                then gap_before
        end as confirmed_hours
    from gaps
),

carried as (
    select
        *,
        max_by(confirmed_hours, settled_at) filter (where confirmed_hours is not null) over (
            partition by source, venue, instrument
            order by settled_at
            range between interval '{{ threshold("funding_interval_carry_days") }}' day preceding and current row
        ) as carried_hours
    from confirmed
),

-- A gap shorter than the interval so far cannot come from missing settlements, so it counts at once. Where nothing came
-- before, the shorter gap on either side is the better guess.
decided as (
    select
        *,
        case
            when stated_hours is not null then cast(stated_hours as double)
            when confirmed_hours is not null then cast(confirmed_hours as double)
            when gap_before between 1 and carried_hours then cast(gap_before as double)
            when carried_hours is not null then cast(carried_hours as double)
            when shorter_gap between 1 and {{ threshold('funding_interval_max_hours') }}
                then cast(shorter_gap as double)
        end as interval_hours,
        case
            when stated_hours is not null then 'stated'
            when confirmed_hours is not null then 'observed'
            when gap_before between 1 and carried_hours then 'observed'
            else 'carried'
        end as interval_source
    from carried
),

intervals as (
    select
        source,
        venue,
        instrument,
        settled_at,
        rate,
        gap_before,
        gap_after,
        interval_hours,
        interval_source,
        lag(interval_hours) over series as interval_hours_before,
        available_at,
        trade_date
    from decided
    window series as (partition by source, venue, instrument order by settled_at)
)

select
    source,
    venue,
    instrument,
    settled_at,
    rate,
    interval_hours,
    interval_source,
    coalesce(interval_hours <> interval_hours_before, false) as interval_changed,
    case
        when
            interval_hours < {{ threshold('funding_daily_gap_hours') }}
            and coalesce(gap_before, gap_after) >= {{ threshold('funding_daily_gap_hours') }}
            and coalesce(gap_after, gap_before) >= {{ threshold('funding_daily_gap_hours') }}
            then 'daily'
        else 'settlement'
    end as input_grain,
    available_at,
    trade_date
from intervals
