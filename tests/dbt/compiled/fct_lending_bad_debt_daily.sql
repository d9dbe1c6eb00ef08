with losses as (
    select * from intermediate.int_lending_bad_debt_by_source
),

source_ranks as (
    select * from intermediate.int_source_ranks
),

coverage as (
    select * from staging.stg_coverage
    where table_name = 'lending_bad_debt'
),

by_source as (
    select
        source,
        protocol as venue,
        chain,
        coalesce(asset, token) as asset,
        trade_date,
        cast(count(*) as bigint) as events,
        sum(amount) as bad_debt_base,
        sum(amount_usd) as bad_debt_usd,
        max(amount_usd) as largest_usd,
        case
        when bool_or(completeness = 'sampled') then 'sampled'
        when bool_or(completeness = 'throttled') then 'throttled'
        when bool_or(completeness = 'full') then 'full'
    end as completeness,
        coalesce(
        case
            when
                min(price_source) filter (where price_source <> 'none')
                = max(price_source) filter (where price_source <> 'none')
                then min(price_source) filter (where price_source <> 'none')
            when count(*) filter (where price_source <> 'none') > 0 then 'mixed'
        end,
        'none'
    ) as price_source,
        cast(count(*) filter (where price_source = 'none') as bigint) as unpriced_events,
        max(available_at) as available_at
    from losses
    group by source, protocol, chain, coalesce(asset, token), trade_date
),

series_seen as (
    select distinct
        source,
        venue,
        chain,
        asset
    from by_source
    where completeness = 'full'
),

-- Inside what a source covers, a day without an event is a zero.
quiet_days as (
    select
        s.source,
        s.venue,
        s.chain,
        s.asset,
        c.trade_date,
        cast(0 as bigint) as events,
        0e0 as bad_debt_base,
        0e0 as bad_debt_usd,
        cast(null as double) as largest_usd,
        'full' as completeness,
        'stated' as price_source,
        cast(0 as bigint) as unpriced_events,
        cast(c.trade_date + interval '1' day as timestamp) as available_at
    from series_seen as s
    inner join coverage as c on s.source = c.source and s.venue = c.venue and s.chain = c.series
    where
        c.status in ('complete', 'empty')
        and not exists (
            select 1
            from by_source as b
            where
                b.source = s.source
                and b.venue = s.venue
                and b.chain = s.chain
                and b.asset = s.asset
                and b.trade_date = c.trade_date
        )
),

everything as (
    select * from by_source
    union all
    select * from quiet_days
)

select
    e.venue,
    e.chain,
    e.asset,
    e.trade_date,
    e.events,
    e.bad_debt_usd,
    case when e.completeness = 'full' and e.unpriced_events = 0 then e.bad_debt_usd end as bad_debt_usd_upper,
    e.bad_debt_base,
    e.largest_usd,
    e.completeness,
    e.price_source,
    e.unpriced_events,
    e.source,
    e.available_at
from everything as e
left join source_ranks as r on e.source = r.source
-- Sources that tell of one protocol are never added up: the fullest, then the foremost.
qualify
    row_number() over (
        partition by e.venue, e.chain, e.asset, e.trade_date
        order by
            case e.completeness when 'full' then 1 when 'throttled' then 2 else 3 end, r.precedence nulls last, e.source
    ) = 1
