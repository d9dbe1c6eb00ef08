with instruments as (
    select * from {{ ref('int_open_interest_daily') }}
),

-- A venue's instruments of an asset add up; most assets have one, and nothing to add.
shared as (
    {{ multi_source_series('instruments', ['venue', 'asset'], ['instrument']) }}
),

days as (
    select
        i.venue,
        i.asset,
        i.trade_date,
        i.oi_base,
        i.oi_usd,
        i.oi_base_mean,
        i.oi_base_high,
        i.oi_base_low,
        i.observations,
        1 as instruments,
        i.price_source,
        i.period as input_grain,
        i.source as source_lists,
        i.available_at
    from instruments as i
    anti join shared on {{ same_series('i', 'shared', ['venue', 'asset']) }}
    union all
    select
        i.venue,
        i.asset,
        i.trade_date,
        case when count(*) = count(i.oi_base) then sum(i.oi_base) end as oi_base,
        case when count(*) = count(i.oi_usd) then sum(i.oi_usd) end as oi_usd,
        sum(i.oi_base_mean) as oi_base_mean,
        sum(i.oi_base_high) as oi_base_high,
        sum(i.oi_base_low) as oi_base_low,
        cast(sum(i.observations) as bigint) as observations,
        cast(count(*) as int) as instruments,
        case
            when bool_or(i.price_source = 'none') then 'none'
            when bool_or(i.price_source = 'day_close') then 'day_close'
            else 'stated'
        end as price_source,
        case when bool_or(i.period = 'snapshot') then 'snapshot' else max_by(i.period, i.period_minutes) end
            as input_grain,
        {{ string_agg_list('i.source') }} as source_lists,
        max(i.available_at) as available_at
    from instruments as i
    semi join shared on {{ same_series('i', 'shared', ['venue', 'asset']) }}
    group by i.venue, i.asset, i.trade_date
),

source_lists as ({{ distinct_sorted_list('days', 'source_lists') }})

select
    d.venue,
    d.asset,
    d.trade_date,
    d.oi_base,
    d.oi_usd,
    d.oi_base_mean,
    d.oi_base_high,
    d.oi_base_low,
    d.observations,
    d.instruments,
    d.price_source,
    d.input_grain,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
