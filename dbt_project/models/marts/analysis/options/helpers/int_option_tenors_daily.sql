-- Implied volatility at constant maturities: total variance (iv squared times time) is read between two expiries.
with smiles as (
    select * from {{ ref('int_option_smiles_daily') }}
),

tenors as (
    select {{ threshold('option_tenor_short_days') }} as tenor_days
    union all
    select {{ threshold('option_tenor_month_days') }} as tenor_days
),

points as (
    select venue, asset, trade_date, days_to_expiry, 'iv_atm' as point, iv_atm as iv from smiles
    union all
    select venue, asset, trade_date, days_to_expiry, 'iv_call_25d' as point, iv_call_25d as iv from smiles
    union all
    select venue, asset, trade_date, days_to_expiry, 'iv_put_25d' as point, iv_put_25d as iv from smiles
),

variances as (
    select
        venue,
        asset,
        trade_date,
        point,
        days_to_expiry,
        iv * iv * days_to_expiry as total_variance
    from points
    where iv is not null
),

read_off as (
    select
        variances.venue,
        variances.asset,
        variances.trade_date,
        variances.point,
        tenors.tenor_days,
        sqrt(
            {{ interpolated_at('variances.days_to_expiry', 'variances.total_variance', 'tenors.tenor_days') }}
            / tenors.tenor_days
        ) as iv
    from variances
    cross join tenors
    group by variances.venue, variances.asset, variances.trade_date, variances.point, tenors.tenor_days
),

-- Whether the expiries themselves reach round a tenor, whatever volatility they state.
spans as (
    select
        smiles.venue,
        smiles.asset,
        smiles.trade_date,
        tenors.tenor_days,
        min(smiles.days_to_expiry) <= tenors.tenor_days
        and max(smiles.days_to_expiry) >= tenors.tenor_days as is_spanned
    from smiles
    cross join tenors
    group by smiles.venue, smiles.asset, smiles.trade_date, tenors.tenor_days
)

select
    spans.venue,
    spans.asset,
    spans.trade_date,
    spans.tenor_days,
    bool_and(spans.is_spanned) as is_spanned,
    max(read_off.iv) filter (where read_off.point = 'iv_atm') as iv_atm,
    max(read_off.iv) filter (where read_off.point = 'iv_call_25d') as iv_call_25d,
    max(read_off.iv) filter (where read_off.point = 'iv_put_25d') as iv_put_25d
from spans
left join read_off
    on
        spans.venue = read_off.venue
        and spans.asset = read_off.asset
        and spans.trade_date = read_off.trade_date
        and spans.tenor_days = read_off.tenor_days
group by spans.venue, spans.asset, spans.trade_date, spans.tenor_days
