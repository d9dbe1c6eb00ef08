with events as (
    select * from {{ ref('stg_lending_liquidations') }}
    where {{ needs_rebuild('int_lending_legs_by_source', 'trade_date') }}
),

receipts as (
    select * from {{ ref('int_tokens') }}
    where underlying_token is not null
),

legs as (
    select
        source,
        chain,
        event_id,
        'collateral' as leg,
        protocol,
        occurred_at,
        collateral_token as token,
        collateral_amount_raw as amount_raw,
        collateral_amount as amount,
        collateral_usd as stated_usd,
        collateral_value as stated_value,
        value_unit,
        price_gap_seconds,
        completeness,
        available_at,
        trade_date
    from events
    union all
    -- What a market lends that is not on record was perhaps read of it; else the market stands for it, unpriced.
    select
        e.source,
        e.chain,
        e.event_id,
        'debt' as leg,
        e.protocol,
        e.occurred_at,
        coalesce(
            e.debt_token, case when e.debt_amount_raw is not null then coalesce(m.underlying_token, e.market) end
        ) as token,
        e.debt_amount_raw as amount_raw,
        e.debt_amount as amount,
        e.debt_usd as stated_usd,
        e.debt_value as stated_value,
        e.value_unit,
        e.price_gap_seconds,
        e.completeness,
        e.available_at,
        e.trade_date
    from events as e
    left join receipts as m on e.chain = m.chain and e.market = m.token
    where coalesce(e.debt_token, e.debt_amount_raw) is not null or coalesce(e.debt_usd, e.debt_value) is not null
),

priced as ({{ priced_legs('legs') }}),

incentives as (
    select
        protocol,
        incentive,
        valid_from,
        coalesce(
            lead(valid_from) over (partition by protocol order by valid_from), date '9999-12-31'
        ) as valid_to
    from {{ ref('liquidation_incentives') }}
),

-- What a liquidator takes is worth the debt repaid times the protocol's incentive.
estimates as (
    select
        c.source,
        c.chain,
        c.event_id,
        d.amount_usd * i.incentive as amount_usd,
        d.price_gap_seconds,
        d.price_from,
        d.available_at
    from priced as c
    inner join receipts as r on c.chain = r.chain and c.token = r.token
    inner join priced as d
        on
            c.source = d.source
            and c.chain = d.chain
            and c.event_id = d.event_id
            and d.leg = 'debt'
    inner join incentives as i
        on
            c.protocol = i.protocol
            and c.trade_date >= i.valid_from
            and c.trade_date < i.valid_to
    where c.leg = 'collateral' and c.amount_usd is null and d.amount_usd is not null
)

select
    p.source,
    p.chain,
    p.event_id,
    p.leg,
    p.protocol,
    p.occurred_at,
    p.token,
    p.asset,
    p.asset_kind,
    p.amount,
    coalesce(p.amount_usd, e.amount_usd) as amount_usd,
    case when e.amount_usd is not null then 'debt_times_incentive' else p.price_source end as price_source,
    coalesce(p.price_gap_seconds, e.price_gap_seconds) as price_gap_seconds,
    coalesce(p.price_from, e.price_from) as price_from,
    p.completeness,
    greatest(p.available_at, coalesce(e.available_at, p.available_at)) as available_at,
    p.trade_date
from priced as p
left join estimates as e
    on
        p.source = e.source
        and p.chain = e.chain
        and p.event_id = e.event_id
        and p.leg = 'collateral'
