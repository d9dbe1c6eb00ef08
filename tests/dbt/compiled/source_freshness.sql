with loads as (
    select * from staging.stg_loads
),

landings as (
    select * from staging.stg_landings
),

-- The newest load of a partition is its present state.
partitions as (
    select *
    from loads
    qualify row_number() over (partition by source, table_name, trade_date order by load_seq desc) = 1
),

held as (
    select
        source,
        table_name,
        min(trade_date) filter (where accepted > 0) as first_trade_date,
        max(trade_date) filter (where accepted > 0) as last_trade_date,
        cast(count(trade_date) filter (where accepted > 0) as int) as days,
        max(loaded_at) as last_loaded_at,
        cast(sum(received) as bigint) as rows_received,
        cast(sum(accepted) as bigint) as rows_accepted,
        cast(sum(duplicates) as bigint) as rows_duplicate,
        cast(sum(quarantined) as bigint) as rows_quarantined
    from partitions
    group by source, table_name
),

current_landings as (
    select
        source,
        cast(count(*) as int) as landings
    from landings
    where is_current
    group by source
),

newest as (
    select max(last_trade_date) as newest_day from held
    where table_name <> 'instruments'
),

spans as (
    select
        h.*,
        cast(
            extract(day from (cast(h.last_trade_date as timestamp) - cast(h.first_trade_date as timestamp))) as int
        ) + 1 as span_days,
        cast(
            extract(day from (cast(n.newest_day as timestamp) - cast(h.last_trade_date as timestamp))) as int
        ) as lag_days
    from held as h
    cross join newest as n
)

select
    s.source,
    s.table_name,
    s.first_trade_date,
    s.last_trade_date,
    s.last_loaded_at,
    s.days,
    case when s.table_name <> 'instruments' then s.span_days - s.days end as gap_days,
    s.rows_received,
    s.rows_accepted,
    s.rows_duplicate,
    s.rows_quarantined,
    coalesce(l.landings, 0) as current_landings,
    case when s.table_name <> 'instruments' then s.lag_days end as lag_days
from spans as s
left join current_landings as l on s.source = l.source
