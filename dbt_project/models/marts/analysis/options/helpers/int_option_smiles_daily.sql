-- Implied volatility of an expiry at the money and at both wings, read off the chain by delta.
with targets as (
    select 'call_atm' as point, 'call' as option_type, {{ threshold('option_atm_delta') }} as target_delta
    union all
    select 'put_atm' as point, 'put' as option_type, -{{ threshold('option_atm_delta') }} as target_delta
    union all
    select 'call_25d' as point, 'call' as option_type, {{ threshold('option_wing_delta') }} as target_delta
    union all
    select 'put_25d' as point, 'put' as option_type, -{{ threshold('option_wing_delta') }} as target_delta
),

-- Far wings share a rounded delta; a curve has one value there.
curves as (
    select
        venue,
        asset,
        trade_date,
        expiry_date,
        option_type,
        delta,
        avg(mark_iv) as mark_iv,
        max(days_to_expiry) as days_to_expiry
    from {{ ref('fct_option_oi_by_strike_daily') }}
    where is_whole_chain and mark_iv > 0 and delta is not null
    group by venue, asset, trade_date, expiry_date, option_type, delta
),

read_off as (
    select
        curves.venue,
        curves.asset,
        curves.trade_date,
        curves.expiry_date,
        targets.point,
        max(curves.days_to_expiry) as days_to_expiry,
        {{ interpolated_at('curves.delta', 'curves.mark_iv', 'targets.target_delta') }} as iv
    from curves
    inner join targets on curves.option_type = targets.option_type
    group by curves.venue, curves.asset, curves.trade_date, curves.expiry_date, targets.point, targets.target_delta
)

select
    venue,
    asset,
    trade_date,
    expiry_date,
    max(days_to_expiry) as days_to_expiry,
    (max(iv) filter (where point = 'call_atm') + max(iv) filter (where point = 'put_atm')) / 2 as iv_atm,
    max(iv) filter (where point = 'call_25d') as iv_call_25d,
    max(iv) filter (where point = 'put_25d') as iv_put_25d
from read_off
group by venue, asset, trade_date, expiry_date
