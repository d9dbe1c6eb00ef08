with instruments as (
    select * from {{ ref('stg_instruments') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

one_per_version as (
    select
        i.venue,
        i.instrument,
        i.valid_from as version_from,
        i.asset,
        i.asset_class,
        i.quote,
        i.contract_type,
        i.contract_size,
        i.contract_size_unit,
        i.multiplier,
        i.listed_at,
        i.delisted_at,
        i.source,
        i.available_at
    from instruments as i
    left join source_ranks as r on i.source = r.source
    qualify
        row_number() over (
            partition by i.venue, i.instrument, i.valid_from
            order by r.precedence nulls last, i.source
        ) = 1
)

select
    venue,
    instrument,
    version_from,
    case
        when row_number() over (partition by venue, instrument order by version_from) = 1 then date '1970-01-01'
        else cast(version_from as date)
    end as valid_from,
    coalesce(
        cast(lead(version_from) over (partition by venue, instrument order by version_from) as date), date '9999-12-31'
    ) as valid_to,
    asset,
    asset_class,
    quote,
    contract_type,
    contract_size,
    contract_size_unit,
    multiplier,
    listed_at,
    delisted_at,
    source,
    available_at
from one_per_version
