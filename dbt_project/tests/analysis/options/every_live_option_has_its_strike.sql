-- Every option of the capture that speaks for its venue and day is in exactly one strike of the fact, and no coin is
-- lost.
with captured as (
    select
        snapshots.venue,
        snapshots.asset,
        snapshots.trade_date,
        count(*) as instruments,
        sum(chains.oi_base) as oi_base
    from {{ ref('int_option_snapshots_daily') }} as snapshots
    inner join {{ ref('int_option_chain_by_source') }} as chains
        on
            snapshots.source = chains.source
            and snapshots.venue = chains.venue
            and snapshots.asset = chains.underlying
            and snapshots.trade_date = chains.trade_date
    group by snapshots.venue, snapshots.asset, snapshots.trade_date
),

strikes as (
    select
        venue,
        asset,
        trade_date,
        sum(instruments) as instruments,
        sum(oi_base) as oi_base
    from {{ ref('fct_option_oi_by_strike_daily') }}
    group by venue, asset, trade_date
)

select
    coalesce(captured.venue, strikes.venue) as venue,
    coalesce(captured.asset, strikes.asset) as asset,
    coalesce(captured.trade_date, strikes.trade_date) as trade_date,
    captured.oi_base as captured_oi_base,
    strikes.oi_base
from captured
full join strikes
    on
        captured.venue = strikes.venue
        and captured.asset = strikes.asset
        and captured.trade_date = strikes.trade_date
where
    captured.venue is null
    or strikes.venue is null
    or captured.instruments <> strikes.instruments
    or abs(captured.oi_base - strikes.oi_base) > 1e-9 * greatest(1, captured.oi_base)
