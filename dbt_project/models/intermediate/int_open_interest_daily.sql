with instruments as (
    select * from {{ ref('int_instruments') }}
),

prices as (
    select * from {{ ref('int_price_daily') }}
),

chosen as (
    {{ best_source_of_day(ref('int_open_interest_by_source'), ['venue', 'instrument'], 'observations') }}
),

-- Zero all day, although the instrument was traded: the venue lost the column.
lost as (
    select
        c.venue,
        c.instrument,
        c.trade_date
    from chosen as c
    inner join {{ ref('int_traded_days') }} as t
        on c.venue = t.venue and c.instrument = t.instrument and c.trade_date = t.trade_date
    where t.is_traded and coalesce(c.oi_base, c.oi_usd) = 0
),

in_asset_units as (
    select
        o.venue,
        o.instrument,
        i.asset,
        {{ asset_amount('o.oi_base', 'i.multiplier') }} as oi_base,
        o.oi_usd,
        {{ asset_amount('o.oi_base_mean', 'i.multiplier') }} as oi_base_mean,
        {{ asset_amount('o.oi_base_high', 'i.multiplier') }} as oi_base_high,
        {{ asset_amount('o.oi_base_low', 'i.multiplier') }} as oi_base_low,
        o.observations,
        o.period,
        o.period_minutes,
        o.source,
        o.available_at,
        o.trade_date
    from chosen as o
    inner join instruments as i
        on
            o.venue = i.venue
            and o.instrument = i.instrument
            and o.trade_date >= i.valid_from
            and o.trade_date < i.valid_to
    anti join lost as l on o.venue = l.venue and o.instrument = l.instrument and o.trade_date = l.trade_date
    -- The state at the end of the day on which the contract ended is of no contract.
    where i.ended_at is null or o.last_event_at <= i.ended_at
)

select
    o.venue,
    o.instrument,
    o.asset,
    coalesce(o.oi_base, o.oi_usd / p.close_usd) as oi_base,
    coalesce(o.oi_usd, o.oi_base * p.close_usd) as oi_usd,
    o.oi_base_mean,
    o.oi_base_high,
    o.oi_base_low,
    o.observations,
    case
        when o.oi_base is not null and o.oi_usd is not null then 'stated'
        when p.close_usd is not null then 'day_close'
        else 'none'
    end as price_source,
    o.period,
    o.period_minutes,
    o.source,
    case
        when o.oi_base is not null and o.oi_usd is not null then o.available_at
        else greatest(o.available_at, coalesce(p.available_at, o.available_at))
    end as available_at,
    o.trade_date
from in_asset_units as o
left join prices as p on o.asset = p.asset and o.trade_date = p.trade_date
