-- Which capture speaks for a venue's chain of the day, how whole it is, and the price of the underlying then.
{{ config(group='foundation') }}

with chains as (
    select
        *,
        min(expiry_date) over (partition by source, venue, underlying, trade_date) as nearest_expiry_date
    from {{ ref('int_option_chain_by_source') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

candidates as (
    select
        source,
        venue,
        underlying as asset,
        trade_date,
        snapshot_at,
        snapshots,
        lasting_instruments,
        cast(count(*) as int) as instruments,
        median(index_price) as index_price,
        -- Where a venue states no index, the forward that expires next is the nearest thing to it.
        median(underlying_price) filter (where expiry_date = nearest_expiry_date) as nearest_forward,
        max(available_at) as available_at
    from chains
    group by source, venue, underlying, trade_date, snapshot_at, snapshots, lasting_instruments
),

compared as (
    select
        candidates.*,
        source_ranks.precedence,
        max(candidates.lasting_instruments) over (
            partition by candidates.venue, candidates.asset, candidates.trade_date
        ) as most_instruments
    from candidates
    left join source_ranks on candidates.source = source_ranks.source
),

-- Sources that hold the whole chain come first; among them the module decides, then the later capture.
chosen as (
    select *
    from compared
    qualify
        row_number() over (
            partition by venue, asset, trade_date
            order by
                case
                    when lasting_instruments >= {{ threshold('option_snapshot_min_share') }} * most_instruments then 1
                    else 2
                end,
                precedence nulls last,
                snapshot_at desc,
                source
        ) = 1
),

measured as (
    select
        *,
        {{ stats_rolling_quantile('instruments', '0.5e0', 'before') }} as usual_instruments
    from chosen
    window before as (
        partition by venue, asset order by trade_date
        range between interval '{{ threshold('option_chain_usual_days') }}' day preceding
        and interval '1' day preceding
    )
),

shares as (
    select
        *,
        -- Not least() alone: it passes over a null, and a chain without a past would look complete.
        case when usual_instruments > 0 then least(1e0, instruments / usual_instruments) end as chain_completeness
    from measured
)

select
    venue,
    asset,
    trade_date,
    source,
    snapshot_at,
    snapshots,
    instruments,
    cast(usual_instruments as double) as usual_instruments,
    chain_completeness,
    coalesce(chain_completeness >= {{ threshold('option_chain_min_share') }}, true) as is_whole_chain,
    coalesce(index_price, nearest_forward) as index_usd,
    case
        when index_price is not null then 'index'
        when nearest_forward is not null then 'nearest_forward'
        else 'none'
    end as index_source,
    available_at
from shares
