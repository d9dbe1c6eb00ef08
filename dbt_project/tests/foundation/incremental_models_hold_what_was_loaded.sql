-- Rows behind the incremental models, per source and day, against the newest load of that day. A difference means that
-- a day was not built again after it was loaded: run dbt with --full-refresh, and look for a load without its row in
-- ops.loads.
with newest as (
    select
        source,
        table_name,
        trade_date,
        accepted
    from {{ ref('stg_loads') }}
    where trade_date is not null
    qualify row_number() over (partition by source, table_name, trade_date order by load_seq desc) = 1
),

loaded as (
    select
        source,
        table_name,
        trade_date,
        accepted
    from newest
    where accepted > 0 and table_name in ('candles', 'open_interest', 'long_short_ratios', 'liquidation_totals')
),

held as (
    select
        source,
        'candles' as table_name,
        trade_date,
        cast(sum(periods_present) as bigint) as held_rows
    from {{ ref('int_candles_by_source') }}
    group by source, trade_date
    union all
    select
        source,
        'open_interest' as table_name,
        trade_date,
        cast(sum(observations) as bigint) as held_rows
    from {{ ref('int_open_interest_by_source') }}
    group by source, trade_date
    union all
    select
        source,
        'long_short_ratios' as table_name,
        trade_date,
        cast(sum(observations) as bigint) as held_rows
    from {{ ref('int_long_short_by_source') }}
    group by source, trade_date
    union all
    select
        source,
        'liquidation_totals' as table_name,
        trade_date,
        cast(sum(periods_present) as bigint) as held_rows
    from {{ ref('int_liquidation_totals_by_source') }}
    group by source, trade_date
)

select
    coalesce(l.source, h.source) as source,
    coalesce(l.table_name, h.table_name) as table_name,
    coalesce(l.trade_date, h.trade_date) as trade_date,
    l.accepted,
    h.held_rows
from loaded as l
full outer join held as h
    on
        l.source = h.source
        and l.table_name = h.table_name
        and l.trade_date = h.trade_date
where coalesce(l.accepted, 0) <> coalesce(h.held_rows, 0)
