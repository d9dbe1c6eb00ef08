with events as (
    select * from {{ ref('stg_lending_bad_debt') }}
    where {{ needs_rebuild('int_lending_bad_debt_by_source', 'trade_date') }}
),

receipts as (
    select * from {{ ref('int_tokens') }}
    where underlying_token is not null
),

-- What a market lends that is not on record was perhaps read of the market; else the market stands for it, unpriced.
legs as (
    select
        e.source,
        e.chain,
        e.event_id,
        'bad_debt' as leg,
        e.protocol,
        e.occurred_at,
        coalesce(e.debt_token, m.underlying_token, e.market) as token,
        e.debt_amount_raw as amount_raw,
        cast(null as double) as amount,
        e.debt_usd as stated_usd,
        e.debt_value as stated_value,
        e.value_unit,
        e.price_gap_seconds,
        e.completeness,
        e.available_at,
        e.trade_date
    from events as e
    left join receipts as m on e.chain = m.chain and e.market = m.token
),

priced as ({{ priced_legs('legs') }})

select
    source,
    chain,
    event_id,
    protocol,
    occurred_at,
    token,
    asset,
    amount,
    amount_usd,
    price_source,
    price_gap_seconds,
    price_from,
    completeness,
    available_at,
    trade_date
from priced
