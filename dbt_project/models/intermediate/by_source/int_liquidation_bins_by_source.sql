with events as (
    select * from {{ ref('stg_liquidations') }}
    where {{ needs_rebuild('int_liquidation_bins_by_source', 'trade_date') }}
        and not is_adl
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

dollars as (
    select asset from {{ ref('assets') }}
    where kind = 'stable'
),

-- A price in another currency says nothing in dollars; the notional then does. Without either none is known.
priced as (
    select
        e.source,
        e.venue,
        e.instrument,
        i.asset,
        e.side,
        {{ asset_amount('e.quantity_base', 'i.multiplier') }} as quantity_base,
        e.notional_usd,
        {{ asset_price(
            'coalesce(case when d.asset is not null then e.price end, e.notional_usd / e.quantity_base)', 'i.multiplier'
        ) }} as price_usd,
        e.available_at,
        e.trade_date
    from events as e
    inner join instruments as i
        on
            e.venue = i.venue
            and e.instrument = i.instrument
            and e.trade_date >= i.valid_from
            and e.trade_date < i.valid_to
    left join dollars as d on i.quote = d.asset
),

binned as (
    select
        *,
        {{ liquidation_bin('price_usd') }} as bin_no
    from priced
)

select
    source,
    venue,
    instrument,
    asset,
    side,
    bin_no,
    cast(count(*) as bigint) as events,
    sum(quantity_base) as quantity_base,
    sum(notional_usd) as notional_usd,
    cast(count(*) filter (where notional_usd is null) as bigint) as unpriced_events,
    sum(quantity_base) filter (where notional_usd is null) as unpriced_base,
    max(available_at) as available_at,
    trade_date
from binned
group by source, venue, instrument, asset, side, bin_no, trade_date
