with tiers as (
    select * from {{ ref('stg_risk_tiers') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

one_source as (
    select t.*
    from tiers as t
    left join source_ranks as r on t.source = r.source
    qualify
        dense_rank() over (
            partition by t.venue, t.instrument, t.schedule
            order by r.precedence nulls last, t.source
        ) = 1
),

-- Every capture of a table, with the one after it.
captures as (
    select
        venue,
        instrument,
        schedule,
        snapshot_at,
        max(available_at) as available_at,
        row_number() over (partition by venue, instrument, schedule order by snapshot_at) as capture,
        lead(snapshot_at) over (partition by venue, instrument, schedule order by snapshot_at) as next_snapshot_at,
        lead(max(available_at)) over (
            partition by venue, instrument, schedule order by snapshot_at
        ) as next_available_at
    from one_source
    group by venue, instrument, schedule, snapshot_at
),

captured as (
    select
        t.*,
        c.capture,
        c.next_snapshot_at,
        c.next_available_at
    from one_source as t
    inner join captures as c
        on
            t.venue = c.venue
            and t.instrument = c.instrument
            and t.schedule = c.schedule
            and t.snapshot_at = c.snapshot_at
),

with_before as (
    select
        *,
        lag(capture) over one_tier as capture_before,
        lag(lower_bound) over one_tier as lower_bound_before,
        lag(upper_bound) over one_tier as upper_bound_before,
        lag(bound_unit) over one_tier as bound_unit_before,
        lag(max_leverage) over one_tier as max_leverage_before,
        lag(initial_margin_rate) over one_tier as initial_margin_rate_before,
        lag(maintenance_margin_rate) over one_tier as maintenance_margin_rate_before,
        lag(maintenance_deduction) over one_tier as maintenance_deduction_before
    from captured
    window one_tier as (partition by venue, instrument, schedule, tier order by snapshot_at)
),

-- A tier begins anew where the capture before it lacks the tier or states other numbers. None of them is below 0.
marked as (
    select
        *,
        case
            when
                capture_before = capture - 1
                and lower_bound_before = lower_bound
                and coalesce(upper_bound_before, -1) = coalesce(upper_bound, -1)
                and bound_unit_before = bound_unit
                and max_leverage_before = max_leverage
                and coalesce(initial_margin_rate_before, -1) = coalesce(initial_margin_rate, -1)
                and maintenance_margin_rate_before = maintenance_margin_rate
                and coalesce(maintenance_deduction_before, -1) = coalesce(maintenance_deduction, -1)
                then 0
            else 1
        end as is_new
    from with_before
),

numbered as (
    select
        *,
        sum(is_new) over (partition by venue, instrument, schedule, tier order by snapshot_at) as version
    from marked
),

versions as (
    select
        venue,
        instrument,
        schedule,
        tier,
        version,
        min(snapshot_at) as valid_from,
        max(snapshot_at) as last_observed_at,
        max(next_snapshot_at) filter (where is_last) as valid_to,
        max(lower_bound) as lower_bound,
        max(upper_bound) as upper_bound,
        max(bound_unit) as bound_unit,
        max(lower_bound_usd) as lower_bound_usd,
        max(upper_bound_usd) as upper_bound_usd,
        max(lower_bound_base) as lower_bound_base,
        max(upper_bound_base) as upper_bound_base,
        max(max_leverage) as max_leverage,
        max(initial_margin_rate) as initial_margin_rate,
        max(maintenance_margin_rate) as maintenance_margin_rate,
        max(maintenance_deduction) as maintenance_deduction,
        max(source) as source,
        greatest(max(available_at), max(next_available_at) filter (where is_last)) as available_at
    from (
        select
            *,
            row_number() over (
                partition by venue, instrument, schedule, tier, version order by snapshot_at desc
            ) = 1 as is_last
        from numbered
    ) as of_version
    group by venue, instrument, schedule, tier, version
)

select
    v.venue,
    v.instrument,
    v.schedule,
    v.tier,
    v.valid_from,
    coalesce(v.valid_to, timestamp '9999-12-31 00:00:00') as valid_to,
    v.last_observed_at,
    i.asset,
    i.asset_class,
    v.lower_bound,
    v.upper_bound,
    v.bound_unit,
    v.lower_bound_usd,
    v.upper_bound_usd,
    v.lower_bound_base,
    v.upper_bound_base,
    v.max_leverage,
    coalesce(v.initial_margin_rate, 1 / v.max_leverage) as initial_margin_rate,
    v.maintenance_margin_rate,
    v.maintenance_deduction,
    v.source,
    v.available_at
from versions as v
inner join instruments as i
    on
        v.venue = i.venue
        and v.instrument = i.instrument
        and cast(v.valid_from as date) >= i.valid_from
        and cast(v.valid_from as date) < i.valid_to
