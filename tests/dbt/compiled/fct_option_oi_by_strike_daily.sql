-- A venue may list the same option twice, settled in coin and in dollars: one strike of one market.
with strikes as (
    select
        source,
        venue,
        underlying,
        expiry_date,
        strike,
        option_type,
        trade_date,
        sum(oi_base) as oi_base,
        sum(volume_24h_base) as volume_24h_base,
        avg(mark_iv) as mark_iv,
        avg(delta) as delta,
        case
            when bool_or(delta_source = 'black76') then 'black76'
            when bool_or(delta_source = 'stated') then 'stated'
            else 'none'
        end as delta_source,
        avg(underlying_price) as forward_usd,
        max(days_to_expiry) as days_to_expiry,
        cast(count(*) as int) as instruments
    from intermediate.int_option_chain_by_source
    group by source, venue, underlying, expiry_date, strike, option_type, trade_date
),

snapshots as (
    select * from intermediate.int_option_snapshots_daily
)

select
    snapshots.venue,
    snapshots.asset,
    strikes.expiry_date,
    strikes.strike as strike_usd,
    strikes.option_type,
    snapshots.trade_date,
    strikes.oi_base,
    strikes.oi_base * snapshots.index_usd as oi_usd,
    strikes.volume_24h_base,
    strikes.mark_iv,
    strikes.delta,
    strikes.delta_source,
    strikes.forward_usd,
    snapshots.index_usd,
    strikes.days_to_expiry,
    strikes.instruments,
    snapshots.snapshot_at,
    snapshots.chain_completeness,
    snapshots.is_whole_chain,
    snapshots.source as sources,
    snapshots.available_at
from snapshots
inner join strikes
    on
        snapshots.source = strikes.source
        and snapshots.venue = strikes.venue
        and snapshots.asset = strikes.underlying
        and snapshots.trade_date = strikes.trade_date
