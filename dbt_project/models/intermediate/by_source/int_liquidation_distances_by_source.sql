{%- set distances = liquidation_distances() -%}
with events as (
    select * from {{ ref('stg_liquidations') }}
    where {{ needs_rebuild('int_liquidation_distances_by_source', 'trade_date') }}
        and not is_adl
        and entry_price is not null
        and price is not null
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

-- As the levels have it: a long loses a part of its entry, a short a part of its exit. A class reaches up to its
-- distance and a billionth more, since the last digits of a computed distance may lie on either side.
measured as (
    select
        e.source,
        e.venue,
        e.instrument,
        i.asset,
        e.side,
        case when e.side = 'long' then 1 - e.price / e.entry_price else 1 - e.entry_price / e.price end as distance,
        {{ asset_amount('e.quantity_base', 'i.multiplier') }} as quantity_base,
        e.notional_usd,
        e.available_at,
        e.trade_date
    from events as e
    inner join instruments as i
        on
            e.venue = i.venue
            and e.instrument = i.instrument
            and e.trade_date >= i.valid_from
            and e.trade_date < i.valid_to
),

classed as (
    select
        *,
        case
            when distance <= 0 then 0
            {%- for distance in distances %}
            when distance <= {{ distance }} + 1e-9 then {{ loop.index }}
            {%- endfor %}
            else {{ distances | length + 1 }}
        end as class_no
    from measured
)

select
    source,
    venue,
    instrument,
    asset,
    side,
    class_no,
    cast(count(*) as bigint) as events,
    sum(quantity_base) as quantity_base,
    sum(notional_usd) as notional_usd,
    sum(distance) as distance_sum,
    max(available_at) as available_at,
    trade_date
from classed
group by source, venue, instrument, asset, side, class_no, trade_date
