with lives as (
    select
        *,
        lag(life) over (partition by venue, instrument order by life) as life_before,
        lag(ended_at) over (partition by venue, instrument order by life) as ended_before,
        lag(end_known_by) over (partition by venue, instrument order by life) as end_before_known_by,
        coalesce(
            lead(life_from) over (partition by venue, instrument order by life), date '9999-12-31'
        ) as next_life_from
    from {{ ref('int_instrument_lives') }}
),

-- An open interest and a settlement are of an instant, which may lie on the last day and after the end; of ratios and
-- liquidations the rows of such a day are counted apart.
kept as (
    select
        'candles' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        periods_present as row_count,
        cast(null as timestamp) as told_at,
        available_at
    from {{ ref('int_candles_by_source') }}
    union all
    select
        'open_interest' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        observations as row_count,
        last_event_at as told_at,
        available_at
    from {{ ref('int_open_interest_by_source') }}
    union all
    select
        'long_short_ratios' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        observations as row_count,
        cast(null as timestamp) as told_at,
        available_at
    from {{ ref('int_long_short_counted') }}
    where observations > 0
    union all
    select
        'long_short_ratios' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        uncounted as row_count,
        outside_at as told_at,
        available_at
    from {{ ref('int_long_short_counted') }}
    where uncounted > 0
    union all
    select
        'funding_rates' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        cast(1 as bigint) as row_count,
        settled_at as told_at,
        available_at
    from {{ ref('int_funding_intervals') }}
    union all
    select
        'liquidations' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        events as row_count,
        cast(null as timestamp) as told_at,
        available_at
    from {{ ref('int_liquidation_events_counted') }}
    where events > 0
    union all
    select
        'liquidations' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        uncounted as row_count,
        outside_at as told_at,
        available_at
    from {{ ref('int_liquidation_events_counted') }}
    where uncounted > 0
    union all
    select
        'liquidation_totals' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        periods_present as row_count,
        cast(null as timestamp) as told_at,
        available_at
    from {{ ref('int_liquidation_totals_counted') }}
    where periods_present > 0
    union all
    select
        'liquidation_totals' as table_name,
        source,
        venue,
        instrument,
        trade_date,
        uncounted as row_count,
        outside_at as told_at,
        available_at
    from {{ ref('int_liquidation_totals_counted') }}
    where uncounted > 0
),

after_an_end as (
    select
        k.*,
        k.told_at <= l.began_at as is_before_the_next,
        l.life,
        l.ended_at,
        l.end_known_by,
        l.life_before,
        l.ended_before,
        l.end_before_known_by
    from kept as k
    inner join lives as l
        on
            k.venue = l.venue
            and k.instrument = l.instrument
            and k.trade_date >= l.life_from
            and k.trade_date < l.next_life_from
    where k.trade_date >= l.life_to or k.told_at > l.ended_at or k.told_at <= l.began_at
)

select
    table_name,
    source,
    venue,
    instrument,
    trade_date,
    max(case when is_before_the_next then life_before else life end) as life,
    max(case when is_before_the_next then ended_before else ended_at end) as ended_at,
    max(case when is_before_the_next then end_before_known_by else end_known_by end) as end_known_by,
    cast(sum(row_count) as bigint) as row_count,
    max(available_at) as available_at
from after_an_end
group by table_name, source, venue, instrument, trade_date
