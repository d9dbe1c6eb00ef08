with open_interest as (
    select * from intermediate.int_open_interest_by_source
),

candles as (
    select * from intermediate.int_candles_by_source
),

ratios as (
    select * from intermediate.int_long_short_by_source
),

settlements as (
    select * from intermediate.int_funding_intervals
),

-- A capture that ended before midnight tells of another instant.
open_interest_said as (
    select
        source,
        venue,
        instrument,
        trade_date,
        oi_base
    from open_interest
    where oi_base is not null and last_event_at = cast(trade_date + interval '1' day as timestamp)
    qualify
        row_number() over (
            partition by source, venue, instrument, trade_date
            order by period_minutes nulls last, period
        ) = 1
),

closes_said as (
    select
        source,
        venue,
        instrument,
        market,
        trade_date,
        close
    from candles
    where closed_at = cast(trade_date + interval '1' day as timestamp)
    qualify
        row_number() over (
            partition by source, venue, instrument, market, trade_date
            order by period_minutes, period
        ) = 1
),

shares_said as (
    select
        source,
        venue,
        instrument,
        measure,
        trade_date,
        long_share_mean
    from ratios
    where case when period_minutes is not null then least(1e0, observations * period_minutes / 1440e0) end = 1
    qualify
        row_number() over (
            partition by source, venue, instrument, measure, trade_date
            order by period_minutes, period
        ) = 1
),

said as (
    select
        'open_interest' as table_name,
        venue,
        instrument,
        'oi_base' as series,
        trade_date,
        cast(null as timestamp) as settled_at,
        source,
        oi_base as amount,
        'relative' as gap_kind,
        0.05e0 as tolerance
    from open_interest_said
    union all
    select
        'candles' as table_name,
        venue,
        instrument,
        market as series,
        trade_date,
        cast(null as timestamp) as settled_at,
        source,
        close as amount,
        'relative' as gap_kind,
        0.01e0 as tolerance
    from closes_said
    union all
    select
        'long_short_ratios' as table_name,
        venue,
        instrument,
        measure as series,
        trade_date,
        cast(null as timestamp) as settled_at,
        source,
        long_share_mean as amount,
        'absolute' as gap_kind,
        0.02e0 as tolerance
    from shares_said
    union all
    select
        'funding_rates' as table_name,
        venue,
        instrument,
        'rate' as series,
        trade_date,
        settled_at,
        source,
        rate as amount,
        'absolute' as gap_kind,
        1e-05 as tolerance
    from settlements
),

compared as (
    select
        table_name,
        venue,
        instrument,
        series,
        trade_date,
        settled_at,
        gap_kind,
        tolerance,
        array_to_string(list_sort(list_distinct(list(source) filter (where source is not null))), ',') as sources,
        cast(count(*) as int) as sources_compared,
        min(amount) as lowest,
        max(amount) as highest
    from said
    group by table_name, venue, instrument, series, trade_date, settled_at, gap_kind, tolerance
    having count(*) > 1
),

gaps as (
    select
        *,
        case
            when gap_kind = 'absolute' or highest = lowest then highest - lowest
            else (highest - lowest) / greatest(abs(highest), abs(lowest))
        end as gap
    from compared
),

-- Of the settlements of a day, the one that is told most differently.
widest as (
    select *
    from gaps
    qualify
        row_number() over (
            partition by table_name, venue, instrument, series, trade_date
            order by gap desc, settled_at asc
        ) = 1
)

select
    table_name,
    venue,
    instrument,
    series,
    trade_date,
    sources,
    sources_compared,
    lowest,
    highest,
    gap,
    gap_kind,
    cast(tolerance as double) as tolerance,
    gap <= tolerance as is_within_tolerance
from widest
