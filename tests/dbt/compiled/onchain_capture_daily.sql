with coverage as (
    select * from staging.stg_coverage
    where table_name = 'lending_liquidations' and instrument = '*' and series <> ''
),

legs as (
    select * from intermediate.int_lending_legs_by_source
),

bad_debt as (
    select * from intermediate.int_lending_bad_debt_by_source
),

contracts as (
    select * from seeds.chain_contracts
),

sides as (
    select
        c.source,
        c.chain,
        c.event_id,
        coalesce(c.asset, c.token) as asset,
        case
            when d.token is null then 'unknown'
            when d.asset_kind = 'stable' and coalesce(c.asset_kind, 'coin') not in ('stable', 'claim') then 'long'
            when c.asset_kind = 'stable' and coalesce(d.asset_kind, 'coin') not in ('stable', 'claim') then 'short'
            else 'unknown'
        end as side
    from legs as c
    left join legs as d
        on
            c.source = d.source
            and c.chain = d.chain
            and c.event_id = d.event_id
            and d.leg = 'debt'
    where c.leg = 'collateral'
),

events as (
    select
        l.source,
        l.protocol as venue,
        l.chain,
        l.trade_date,
        l.event_id,
        max(case when s.side = 'unknown' then 0 else 1 end) as is_sided,
        min(case when l.price_source = 'none' then 0 else 1 end) as is_priced,
        max(case when l.price_source = 'none' then 0 else 1 end) as is_partly_priced,
        sum(case when l.leg = 'collateral' then l.amount_usd end) as seized_usd,
        sum(case when l.leg = 'debt' then l.amount_usd end) as repaid_usd,
        max(l.available_at) as available_at
    from legs as l
    inner join sides as s
        on
            l.source = s.source
            and l.chain = s.chain
            and l.event_id = s.event_id
    group by l.source, l.protocol, l.chain, l.trade_date, l.event_id
),

event_days as (
    select
        source,
        venue,
        chain,
        trade_date,
        cast(count(*) as bigint) as events,
        cast(sum(is_sided) as bigint) as sided_events,
        cast(sum(is_priced) as bigint) as priced_events,
        cast(sum(1 - is_partly_priced) as bigint) as unpriced_events,
        sum(seized_usd) as seized_usd,
        sum(repaid_usd) as repaid_usd,
        max(available_at) as available_at
    from events
    group by source, venue, chain, trade_date
),

unpriced_tokens as (
    select
        source,
        protocol as venue,
        chain,
        trade_date,
        cast(count(distinct token) as bigint) as unpriced_tokens
    from legs
    where price_source = 'none'
    group by source, protocol, chain, trade_date
),

bad_debt_days as (
    select
        source,
        protocol as venue,
        chain,
        trade_date,
        cast(count(*) as bigint) as bad_debt_events,
        sum(amount_usd) as bad_debt_usd
    from bad_debt
    group by source, protocol, chain, trade_date
),

days as (
    select
        source,
        venue,
        series as chain,
        trade_date
    from coverage
    union
    select
        source,
        venue,
        chain,
        trade_date
    from event_days
),

known as (
    select
        d.venue,
        d.chain,
        d.trade_date,
        cast(count(c.contract) as bigint) as contracts_known
    from (
        select distinct
            venue,
            chain,
            trade_date
        from days
    ) as d
    left join contracts as c on d.venue = c.protocol and d.chain = c.chain and d.trade_date >= c.since
    group by d.venue, d.chain, d.trade_date
)

select
    d.source,
    d.venue,
    d.chain,
    d.trade_date,
    coalesce(c.status, 'unknown') as status,
    k.contracts_known,
    coalesce(e.events, 0) as events,
    coalesce(e.sided_events, 0) as sided_events,
    coalesce(e.priced_events, 0) as priced_events,
    coalesce(e.unpriced_events, 0) as unpriced_events,
    coalesce(u.unpriced_tokens, 0) as unpriced_tokens,
    case when coalesce(e.events, 0) = 0 then 0e0 else e.seized_usd end as seized_usd,
    case when coalesce(e.events, 0) = 0 then 0e0 else e.repaid_usd end as repaid_usd,
    coalesce(b.bad_debt_events, 0) as bad_debt_events,
    b.bad_debt_usd,
    coalesce(e.available_at, cast(d.trade_date + interval '1' day as timestamp)) as available_at
from days as d
inner join known as k on d.venue = k.venue and d.chain = k.chain and d.trade_date = k.trade_date
left join coverage as c
    on d.source = c.source and d.venue = c.venue and d.chain = c.series and d.trade_date = c.trade_date
left join event_days as e
    on d.source = e.source and d.venue = e.venue and d.chain = e.chain and d.trade_date = e.trade_date
left join unpriced_tokens as u
    on d.source = u.source and d.venue = u.venue and d.chain = u.chain and d.trade_date = u.trade_date
left join bad_debt_days as b
    on d.source = b.source and d.venue = b.venue and d.chain = b.chain and d.trade_date = b.trade_date
