with instruments as (
    select * from {{ ref('int_long_short_daily') }}
),

-- Where a venue has several instruments of an asset, their mean speaks; most assets have one, and nothing to average.
shared as (
    {{ multi_source_series('instruments', ['venue', 'asset', 'measure'], ['instrument']) }}
),

days as (
    select
        i.venue,
        i.asset,
        i.measure,
        i.trade_date,
        i.long_share,
        1 as instruments,
        i.period as input_grain,
        i.source as source_lists,
        i.available_at
    from instruments as i
    anti join shared on {{ same_series('i', 'shared', ['venue', 'asset', 'measure']) }}
    union all
    select
        i.venue,
        i.asset,
        i.measure,
        i.trade_date,
        avg(i.long_share) as long_share,
        cast(count(*) as int) as instruments,
        max_by(i.period, i.period_minutes) as input_grain,
        {{ string_agg_list('i.source') }} as source_lists,
        max(i.available_at) as available_at
    from instruments as i
    semi join shared on {{ same_series('i', 'shared', ['venue', 'asset', 'measure']) }}
    group by i.venue, i.asset, i.measure, i.trade_date
),

source_lists as ({{ distinct_sorted_list('days', 'source_lists') }})

select
    d.venue,
    d.asset,
    d.measure,
    d.trade_date,
    d.long_share / nullif(1e0 - d.long_share, 0) as ratio,
    d.long_share,
    d.instruments,
    d.input_grain,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
