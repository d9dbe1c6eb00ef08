-- When contracts end and tickers begin anew: by the venue's own dates, else where the price stands still without volume
-- for instrument_end_days days. Instruments that never ended have no row.
with versions as (
    select * from {{ ref('stg_instruments') }}
),

days as (
    select
        *,
        sum(case when is_traded then 1 else 0 end) over (
            partition by venue, instrument order by trade_date rows between unbounded preceding and current row
        ) as traded_days
    from {{ ref('int_traded_days') }}
),

-- A traded day and the days without trade that follow it.
runs as (
    select
        venue,
        instrument,
        traded_days,
        min(trade_date) as traded_on,
        min(trade_date) filter (where not is_traded) as still_from,
        cast(count_if(not is_traded) as int) as still_days,
        min(first_traded_at) as first_traded_at,
        max(last_traded_at) as last_traded_at
    from days
    where traded_days > 0
    group by venue, instrument, traded_days
),

followed as (
    select
        *,
        lead(traded_on) over (partition by venue, instrument order by traded_days) as traded_next,
        lead(first_traded_at) over (partition by venue, instrument order by traded_days) as next_traded_at
    from runs
),

-- Trade that comes back after so long is of a new contract.
restarts as (
    select
        venue,
        instrument,
        traded_next as restarted_on,
        coalesce(next_traded_at, cast(traded_next as timestamp)) as began_at
    from followed
    where traded_next > traded_on + {{ threshold('instrument_end_days') }}
),

inferred as (
    select
        venue,
        instrument,
        still_from as dead_from,
        coalesce(traded_next, date '9999-12-31') as alive_from,
        coalesce(last_traded_at, cast(still_from as timestamp)) as ended_at,
        'inferred' as end_known_by
    from followed
    where still_days >= {{ threshold('instrument_end_days') }}
),

-- The newest word of each source on a listing: a delisting may be announced late, and postponed.
listings as (
    select
        source,
        venue,
        instrument,
        listed_at,
        delisted_at
    from versions
    qualify
        row_number() over (
            partition by source, venue, instrument, coalesce(listed_at, timestamp '1970-01-01 00:00:00')
            order by valid_from desc
        ) = 1
),

stated_ends as (
    select
        venue,
        instrument,
        min(delisted_at) as ended_at,
        cast(min(delisted_at) - interval '1' microsecond as date) + 1 as dead_from
    from listings
    where delisted_at is not null
    group by venue, instrument, coalesce(listed_at, timestamp '1970-01-01 00:00:00')
),

comebacks as (
    select
        venue,
        instrument,
        cast(listed_at as date) as restarted_on,
        listed_at as began_at
    from listings
    where listed_at is not null
    union
    select
        venue,
        instrument,
        restarted_on,
        began_at
    from restarts
),

stated as (
    select
        e.venue,
        e.instrument,
        e.dead_from,
        greatest(e.dead_from, coalesce(min(c.restarted_on), date '9999-12-31')) as alive_from,
        min(e.ended_at) as ended_at,
        'venue' as end_known_by
    from stated_ends as e
    left join comebacks as c
        on
            e.venue = c.venue
            and e.instrument = c.instrument
            and c.restarted_on >= cast(e.ended_at as date)
    group by e.venue, e.instrument, e.dead_from
),

dead as (
    select * from inferred
    union all
    select * from stated
),

in_order as (
    select
        *,
        max(alive_from) over (
            partition by venue, instrument
            order by dead_from, alive_from rows between unbounded preceding and 1 preceding
        ) as alive_before
    from dead
),

numbered as (
    select
        *,
        sum(case when alive_before is null or dead_from > alive_before then 1 else 0 end) over (
            partition by venue, instrument
            order by dead_from, alive_from rows between unbounded preceding and current row
        ) as pause
    from in_order
),

pauses as (
    select
        venue,
        instrument,
        min(dead_from) as dead_from,
        max(alive_from) as alive_from,
        coalesce(min(ended_at) filter (where end_known_by = 'venue'), min(ended_at)) as ended_at,
        case when bool_or(end_known_by = 'venue') then 'venue' else 'inferred' end as end_known_by
    from numbered
    group by venue, instrument, pause
),

lives as (
    select
        venue,
        instrument,
        coalesce(
            lag(alive_from) over (partition by venue, instrument order by dead_from), date '1970-01-01'
        ) as life_from,
        dead_from as life_to,
        lag(dead_from) over (partition by venue, instrument order by dead_from) as died_before,
        ended_at,
        end_known_by
    from pauses
    union all
    select
        venue,
        instrument,
        alive_from as life_from,
        date '9999-12-31' as life_to,
        dead_from as died_before,
        cast(null as timestamp) as ended_at,
        cast(null as string) as end_known_by
    from pauses
    where alive_from < date '9999-12-31'
    qualify row_number() over (partition by venue, instrument order by dead_from desc) = 1
),

beginnings as (
    select
        venue,
        instrument,
        restarted_on,
        min(began_at) as began_at
    from comebacks
    group by venue, instrument, restarted_on
)

select
    l.venue,
    l.instrument,
    cast(row_number() over (partition by l.venue, l.instrument order by l.life_from) as int) as life,
    l.life_from,
    l.life_to,
    l.died_before,
    case when l.died_before is not null then coalesce(b.began_at, cast(l.life_from as timestamp)) end as began_at,
    l.ended_at,
    l.end_known_by
from lives as l
left join beginnings as b
    on l.venue = b.venue and l.instrument = b.instrument and l.life_from = b.restarted_on
where l.life_from < l.life_to
