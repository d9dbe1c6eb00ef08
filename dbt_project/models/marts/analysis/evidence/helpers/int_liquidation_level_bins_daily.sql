-- Levels of all cohorts and classes by bin of price: what lies there, and what of it the rates expect to be liquidated.
{%- set sides = {'long': 'low', 'short': 'high'} %}

with classes as (
    select
        class_no,
        distance,
        opening_weight
    from {{ ref('liquidation_classes') }}
),

kernel as (
    select * from {{ ref('int_liquidation_kernel_monthly') }}
    where asset <> '*' and class_no > 0
),

levels as (
    {%- for side, extreme in sides.items() %}
    {%- set level = liquidation_level(side, 'c.entry_price_usd', 'k.distance') %}
    select
        c.asset,
        c.trade_date,
        '{{ side }}' as side,
        k.class_no,
        {{ level_bin(level) }} as bin_no,
        sum(c.share_of_oi) as share_of_oi,
        max(k.opening_weight) as opening_weight
    from {{ ref('int_liquidation_cohorts_daily') }} as c
    cross join classes as k
    where
        {{ is_level_alive(side, level, 'c.' ~ extreme ~ '_since_usd') }}
        {%- if side == 'long' %}
        and c.entry_price_usd * (1 - k.distance) >= c.close_usd * (1 - {{ threshold('levels_reach') }})
        {%- else %}
        and c.entry_price_usd / (1 - k.distance) <= c.close_usd / (1 - {{ threshold('levels_reach') }})
        {%- endif %}
    group by c.asset, c.trade_date, k.class_no, bin_no
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

days as (
    select
        asset,
        trade_date,
        side,
        close_usd
    from {{ ref('int_liquidation_exposure_daily') }}
),

-- Distance alone: every position as if entered at the last close.
alone as (
    select
        days.asset,
        days.trade_date,
        days.side,
        kernel.valid_from,
        case when days.side = 'long'
            then {{ level_bin(liquidation_level('long', 'days.close_usd', 'kernel.distance')) }}
            else {{ level_bin(liquidation_level('short', 'days.close_usd', 'kernel.distance')) }}
        end as bin_no,
        (1 - {{ threshold('levels_map_weight') }}) * kernel.calibration_distance * kernel.beta_distance
            as expected_share
    from days
    inner join kernel
        on
            days.asset = kernel.asset
            and days.side = kernel.side
            and cast(date_trunc('month', days.trade_date) as date) = kernel.valid_from
            and kernel.distance <= {{ threshold('levels_reach') }}
),

both_parts as (
    select
        levels.asset,
        levels.trade_date,
        levels.side,
        levels.bin_no,
        levels.share_of_oi * levels.opening_weight as exposure_share,
        {{ threshold('levels_map_weight') }} * kernel.calibration_factor * kernel.beta * levels.share_of_oi
            as expected_share
    from levels
    left join kernel
        on
            levels.asset = kernel.asset
            and levels.side = kernel.side
            and levels.class_no = kernel.class_no
            and cast(date_trunc('month', levels.trade_date) as date) = kernel.valid_from
    union all
    select
        asset,
        trade_date,
        side,
        bin_no,
        0e0 as exposure_share,
        expected_share
    from alone
)

select
    asset,
    trade_date,
    side,
    bin_no,
    sum(exposure_share) as exposure_share,
    sum(expected_share) as expected_share
from both_parts
group by asset, trade_date, side, bin_no
