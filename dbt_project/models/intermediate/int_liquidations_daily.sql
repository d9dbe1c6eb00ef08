with liquidations as (
    select * from {{ ref('int_liquidations_by_source_daily') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

-- Collateral and debt are two legs of one event, so they come from one source.
candidates as (
    select
        l.source,
        l.table_name,
        l.venue,
        l.chain,
        l.series,
        case when l.measure = 'position_notional' then 'position' else 'loan' end as subject,
        l.trade_date,
        min(case l.completeness when 'full' then 1 when 'throttled' then 2 else 3 end) as feed_rank,
        max(l.day_completeness) as day_completeness,
        min(l.period_minutes) as period_minutes,
        max(r.precedence) as precedence
    from liquidations as l
    left join source_ranks as r on l.source = r.source
    group by l.source, l.table_name, l.venue, l.chain, l.series, l.measure = 'position_notional', l.trade_date
),

chosen as (
    select *
    from candidates
    qualify
        row_number() over (
            partition by venue, chain, series, subject, trade_date
            order by feed_rank, {{ best_source_first() }}, table_name
        ) = 1
)

select
    l.venue,
    l.venue_kind,
    l.chain,
    l.series,
    l.asset,
    l.side,
    l.measure,
    l.completeness,
    l.events,
    l.quantity_base,
    l.notional_usd,
    l.largest_usd,
    l.unpriced_events,
    l.price_source,
    l.source,
    l.available_at,
    l.trade_date
from liquidations as l
inner join chosen as c
    on
        l.source = c.source
        and l.table_name = c.table_name
        and l.venue = c.venue
        and l.chain = c.chain
        and l.series = c.series
        and case when l.measure = 'position_notional' then 'position' else 'loan' end = c.subject
        and l.trade_date = c.trade_date
        and l.period_minutes = c.period_minutes
