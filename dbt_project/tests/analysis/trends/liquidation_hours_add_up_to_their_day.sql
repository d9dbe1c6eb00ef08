-- Where every feed of a day's total covers each hour of the day, the hours of liquidation_comparison_hourly add up to
-- the day of liquidation_comparison_daily, measure by measure and side by side; and no hours hold more than their day.
{%- set sides = {
    'exchange': [
        'exchange_position_notional_usd', 'exchange_position_notional_usd_long', 'exchange_position_notional_usd_short',
    ],
    'perp_dex': [
        'perp_dex_position_notional_usd', 'perp_dex_position_notional_usd_long', 'perp_dex_position_notional_usd_short',
    ],
    'lending_collateral': ['lending_collateral_seized_usd'],
    'lending_debt': ['lending_debt_repaid_usd'],
} %}

with days as (
    select
        asset,
        trade_date,
        count(*) as hours,
        {%- for side, amounts in sides.items() %}
        bool_and({{ side }}_is_covered) as {{ side }}_is_covered,
        {%- for amount in amounts %}
        sum({{ amount }}) as {{ amount }},
        {%- endfor %}
        {%- endfor %}
        max(available_at) as available_at
    from {{ ref('liquidation_comparison_hourly') }}
    group by asset, trade_date
)

{% for side, amounts in sides.items() %}
{%- set is_last_side = loop.last %}
{%- for amount in amounts %}
select
    days.asset,
    days.trade_date,
    '{{ amount }}' as amount,
    days.{{ amount }} as of_hours,
    daily.{{ amount }} as of_day
from days
left join {{ ref('liquidation_comparison_daily') }} as daily
    on days.asset = daily.asset and days.trade_date = daily.trade_date
where
    days.hours <> 24
    or days.{{ amount }} > coalesce(daily.{{ amount }}, 0) * (1 + 1e-9)
    or days.{{ side }}_is_covered
    and (
        -- A day on which nothing is priced is null, while its quiet hours are zero.
        daily.{{ side }}_unpriced_events = 0 and (days.{{ amount }} is null) <> (daily.{{ amount }} is null)
        or abs(days.{{ amount }} - daily.{{ amount }}) > 1e-9 * greatest(1, daily.{{ amount }})
    )
{{ 'union all' if not (loop.last and is_last_side) }}
{%- endfor %}
{%- endfor %}
