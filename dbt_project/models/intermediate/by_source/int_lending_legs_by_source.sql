with events as (
    select * from {{ ref('stg_lending_liquidations') }}
    where {{ is_affected('int_lending_legs_by_source', 'trade_date') }}
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
        price_gap_seconds,
        completeness,
        available_at,
        trade_date
    from events
    union all
    select
        source,
        chain,
        event_id,
        'debt' as leg,
        protocol,
        occurred_at,
        debt_token as token,
        debt_amount_raw as amount_raw,
        debt_amount as amount,
        debt_usd as stated_usd,
        price_gap_seconds,
        completeness,
        available_at,
        trade_date
    from events
    where debt_token is not null or debt_usd is not null
),

priced as ({{ priced_legs('legs') }})

select
    source,
    chain,
    event_id,
    leg,
    protocol,
    occurred_at,
    token,
    asset,
    asset_kind,
    amount,
    amount_usd,
    price_source,
    price_gap_seconds,
    price_from,
    completeness,
    available_at,
    trade_date
from priced
