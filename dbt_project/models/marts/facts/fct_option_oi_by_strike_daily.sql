with chains as (
    select
        *,
        {{ black76_d1('underlying_price', 'strike', 'mark_iv', 'days_to_expiry') }} as d1
    from {{ ref('int_option_chain_by_source') }}
),

snapshots as (
    select * from {{ ref('int_option_snapshots_daily') }}
),

options as (
    select
        snapshots.venue,
        snapshots.asset,
        snapshots.trade_date,
        snapshots.snapshot_at,
        snapshots.index_usd,
        snapshots.chain_completeness,
        snapshots.is_whole_chain,
        snapshots.source,
        snapshots.available_at,
        chains.expiry_date,
        chains.strike,
        chains.option_type,
        chains.days_to_expiry,
        chains.open_interest_base,
        chains.volume_24h_base,
        chains.mark_iv,
        chains.underlying_price,
        coalesce(chains.delta, {{ black76_delta('chains.option_type', 'chains.d1') }}) as delta,
        case
            when chains.delta is not null then 'stated'
            when chains.d1 is not null then 'black76'
            else 'none'
        end as delta_source
    from snapshots
    inner join chains
        on
            snapshots.source = chains.source
            and snapshots.venue = chains.venue
            and snapshots.asset = chains.underlying
            and snapshots.trade_date = chains.trade_date
)

-- A venue may list the same option twice, settled in coin and in dollars: one strike of one market.
select
    venue,
    asset,
    expiry_date,
    strike as strike_usd,
    option_type,
    trade_date,
    sum(open_interest_base) as oi_base,
    sum(open_interest_base) * max(index_usd) as oi_usd,
    sum(volume_24h_base) as volume_24h_base,
    avg(mark_iv) as mark_iv,
    avg(delta) as delta,
    case
        when bool_or(delta_source = 'black76') then 'black76'
        when bool_or(delta_source = 'stated') then 'stated'
        else 'none'
    end as delta_source,
    avg(underlying_price) as forward_usd,
    max(index_usd) as index_usd,
    max(days_to_expiry) as days_to_expiry,
    cast(count(*) as int) as instruments,
    max(snapshot_at) as snapshot_at,
    max(chain_completeness) as chain_completeness,
    bool_and(is_whole_chain) as is_whole_chain,
    max(source) as sources,
    max(available_at) as available_at
from options
group by venue, asset, expiry_date, strike, option_type, trade_date
