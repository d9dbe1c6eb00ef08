-- Implied volatility at constant maturities: total variance (iv squared times time) is read between two expiries.
{%- set tenors = [threshold('option_tenor_short_days'), threshold('option_tenor_month_days')] %}
{%- set points = ['iv_atm', 'iv_call_25d', 'iv_put_25d'] %}

with smiles as (
    select * from {{ ref('int_option_smiles_daily') }}
),

tenors as (
    {%- for tenor in tenors %}
    select {{ tenor }} as tenor_days {{ 'union all' if not loop.last }}
    {%- endfor %}
),

variances as (
    {%- for point in points %}
    select
        venue,
        asset,
        trade_date,
        '{{ point }}' as point,
        days_to_expiry,
        {{ point }} * {{ point }} * days_to_expiry as total_variance
    from smiles
    where {{ point }} is not null
    {{ 'union all' if not loop.last }}
    {%- endfor %}
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
    bool_and(spans.is_spanned) as is_spanned
    {%- for point in points %},
    max(read_off.iv) filter (where read_off.point = '{{ point }}') as {{ point }}
    {%- endfor %}
from spans
left join read_off
    on
        spans.venue = read_off.venue
        and spans.asset = read_off.asset
        and spans.trade_date = read_off.trade_date
        and spans.tenor_days = read_off.tenor_days
group by spans.venue, spans.asset, spans.trade_date, spans.tenor_days
