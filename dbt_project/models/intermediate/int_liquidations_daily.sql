with liquidations as (
    select * from {{ ref('int_liquidations_by_source_daily') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

-- Collateral and debt are two legs of one event, so they are judged together and come from one source.
judged as (
    select
        l.*,
        case when l.measure = 'position_notional' then 'position' else 'loan' end as subject,
        case l.completeness when 'full' then 1 when 'throttled' then 2 else 3 end as feed_rank,
        r.precedence
    from liquidations as l
    left join source_ranks as r on l.source = r.source
),

candidates as (
    select
        source,
        table_name,
        period_minutes,
        venue,
        chain,
        series,
        subject,
        trade_date,
        max(feed_rank) as feed_rank,
        min(day_completeness) as day_completeness,
        max(precedence) as precedence
    from judged
    group by source, table_name, period_minutes, venue, chain, series, subject, trade_date
),

chosen as (
    select *
    from candidates
    qualify
        row_number() over (
            partition by venue, chain, series, subject, trade_date
            order by feed_rank, {{ best_source_first() }}, table_name
        ) = 1
),

kept as (
    select j.*
    from judged as j
    inner join chosen as c
        on
            j.source = c.source
            and j.table_name = c.table_name
            and j.period_minutes = c.period_minutes
            and j.venue = c.venue
            and j.chain = c.chain
            and j.series = c.series
            and j.subject = c.subject
            and j.trade_date = c.trade_date
)

select
    venue,
    venue_kind,
    chain,
    series,
    asset,
    side,
    measure,
    completeness,
    events,
    quantity_base,
    notional_usd,
    largest_usd,
    unpriced_events,
    price_source,
    listened_share,
    pushed_share,
    source,
    table_name,
    period_minutes,
    available_at,
    trade_date
from kept
