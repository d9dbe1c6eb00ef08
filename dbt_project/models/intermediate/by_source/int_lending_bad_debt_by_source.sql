with legs as (
    select
        source,
        chain,
        event_id,
        'bad_debt' as leg,
        protocol,
        occurred_at,
        debt_token as token,
        debt_amount_raw as amount_raw,
        cast(null as double) as amount,
        debt_usd as stated_usd,
        price_gap_seconds,
        completeness,
        available_at,
        trade_date
    from {{ ref('stg_lending_bad_debt') }}
    where {{ is_affected('int_lending_bad_debt_by_source', 'trade_date') }}
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
