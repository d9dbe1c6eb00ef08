with loads as (
    select * from {{ ref('stg_loads') }}
),

precedence as (
    select * from {{ ref('source_precedence') }}
),

sources as (
    select distinct
        source,
        split_part(source, '.', 1) as module
    from loads
)

select
    s.source,
    s.module,
    coalesce(named.precedence, others.precedence) as precedence
from sources as s
left join precedence as named on s.module = named.module
cross join (select precedence from precedence where module = '*') as others
