with instruments as (
    select * from {{ ref('int_open_interest_daily') }}
)

select
    venue,
    asset,
    trade_date,
    case when count(*) = count(oi_base) then sum(oi_base) end as oi_base,
    case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd,
    sum(oi_base_mean) as oi_base_mean,
    sum(oi_base_high) as oi_base_high,
    sum(oi_base_low) as oi_base_low,
    cast(sum(observations) as bigint) as observations,
    cast(count(*) as int) as instruments,
    case
        when bool_or(price_source = 'none') then 'none'
        when bool_or(price_source = 'day_close') then 'day_close'
        else 'stated'
    end as price_source,
    case when bool_or(period = 'snapshot') then 'snapshot' else max_by(period, period_minutes) end as input_grain,
    {{ sorted_list('source') }} as sources,
    max(available_at) as available_at
from instruments
group by venue, asset, trade_date
