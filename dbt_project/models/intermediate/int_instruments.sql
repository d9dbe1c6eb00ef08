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
),

versions as (
    select
        *,
        case
            when row_number() over (partition by venue, instrument order by version_from) = 1 then date '1970-01-01'
            else cast(version_from as date)
        end as valid_from,
        coalesce(
            cast(lead(version_from) over (partition by venue, instrument order by version_from) as date),
            date '9999-12-31'
        ) as valid_to
    from one_per_version
),

lives as (
    select * from {{ ref('int_instrument_lives') }}
),

-- The versions of a contract while it lives.
living as (
    select
        v.venue,
        v.instrument,
        v.version_from,
        greatest(v.valid_from, coalesce(l.life_from, v.valid_from)) as valid_from,
        least(v.valid_to, coalesce(l.life_to, v.valid_to)) as valid_to,
        v.asset,
        v.asset_class,
        v.quote,
        v.contract_type,
        v.contract_size,
        v.contract_size_unit,
        v.multiplier,
        v.listed_at,
        v.delisted_at,
        coalesce(l.life, 1) as life,
        l.life_from,
        l.died_before,
        l.began_at,
        l.ended_at,
        l.end_known_by,
        v.source,
        v.available_at
    from versions as v
    left join lives as l
        on
            v.venue = l.venue
            and v.instrument = l.instrument
            and v.valid_from < l.life_to
            and v.valid_to > l.life_from
),

comebacks as (
    select distinct
        asset,
        died_before,
        life_from
    from living
    where life > 1 and valid_from = life_from
),

-- Where a coin was traded all the while under another instrument, the ticker still means that coin.
traded as (
    select distinct
        c.asset,
        c.life_from
    from comebacks as c
    inner join living as l on c.asset = l.asset
    inner join {{ ref('int_traded_days') }} as t
        on
            l.venue = t.venue
            and l.instrument = t.instrument
            and l.valid_from <= t.trade_date
            and l.valid_to > t.trade_date
            and c.died_before <= t.trade_date
            and c.life_from > t.trade_date
    where t.is_traded
),

begun_anew as (
    select
        c.asset,
        c.life_from as asset_from
    from comebacks as c
    anti join traded as t on c.asset = t.asset and c.life_from = t.life_from
    union
    select
        asset,
        date '1970-01-01' as asset_from
    from comebacks
),

-- The first coin of a ticker keeps the bare name, so that nothing known changes.
coins as (
    select
        asset,
        asset_from,
        coalesce(lead(asset_from) over (partition by asset order by asset_from), date '9999-12-31') as asset_to,
        row_number() over (partition by asset order by asset_from) as coin
    from begun_anew
),

pieces as (
    select
        l.*,
        greatest(l.valid_from, coalesce(c.asset_from, l.valid_from)) as piece_from,
        least(l.valid_to, coalesce(c.asset_to, l.valid_to)) as piece_to,
        case when c.coin > 1 then l.asset || '.' || cast(c.coin as string) else l.asset end as coin_asset
    from living as l
    left join coins as c on l.asset = c.asset and l.valid_from < c.asset_to and l.valid_to > c.asset_from
)

select
    venue,
    instrument,
    case
        when version_from >= piece_from and version_from < piece_to then version_from
        else cast(piece_from as timestamp)
    end as version_from,
    piece_from as valid_from,
    piece_to as valid_to,
    coin_asset as asset,
    asset_class,
    quote,
    contract_type,
    contract_size,
    contract_size_unit,
    multiplier,
    listed_at,
    delisted_at,
    life,
    began_at,
    ended_at,
    end_known_by,
    source,
    available_at
from pieces
