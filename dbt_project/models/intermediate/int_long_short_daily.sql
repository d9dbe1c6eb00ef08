with ratios as (
    select * from {{ ref('int_long_short_by_source') }}
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

judged as (
    select
        l.*,
        {{ share_of_day('l.observations', 'l.period_minutes') }} as day_completeness,
        r.precedence
    from ratios as l
    left join source_ranks as r on l.source = r.source
),

chosen as (
    {{ best_source_of_day('judged', ['venue', 'instrument', 'measure']) }}
)

select
    c.venue,
    c.instrument,
    i.asset,
    c.measure,
    -- Accounts and positions are states, read at the day's end; taker volume is a flow, averaged over the day.
    case when c.measure = 'taker_volume' then c.long_share_mean else c.long_share_last end as long_share,
    c.observations,
    c.period,
    c.period_minutes,
    c.source,
    c.available_at,
    c.trade_date
from chosen as c
inner join instruments as i
    on
        c.venue = i.venue
        and c.instrument = i.instrument
        and c.trade_date >= i.holds_from
        and c.trade_date < i.holds_until
