with instruments as (
    select * from {{ ref('int_instruments') }}
),

prices as (
    select * from {{ ref('int_price_daily') }}
),

chosen as (
    {{ best_source_of_day(ref('int_open_interest_by_source'), ['venue', 'instrument'], 'observations') }}
),

-- Zero all day, although the instrument was traded: the venue lost the column.
lost as (
    select
        c.venue,
        c.instrument,
        c.trade_date
    from chosen as c
    inner join {{ ref('int_traded_days') }} as t
        on c.venue = t.venue and c.instrument = t.instrument and c.trade_date = t.trade_date
    where t.is_traded and coalesce(c.oi_base, c.oi_usd) = 0
),

in_asset_units as (
    select
        o.venue,
        o.instrument,
        i.asset,
        {{ asset_amount('o.oi_base', 'i.multiplier') }} as oi_base,
        o.oi_usd,
        {{ asset_amount('o.oi_base_mean', 'i.multiplier') }} as oi_base_mean,
        {{ asset_amount('o.oi_base_high', 'i.multiplier') }} as oi_base_high,
        {{ asset_amount('o.oi_base_low', 'i.multiplier') }} as oi_base_low,
        o.observations,
        o.period,
        o.period_minutes,
        o.source,
        o.available_at,
        o.trade_date
    from chosen as o
    inner join instruments as i
        on
            o.venue = i.venue
            and o.instrument = i.instrument
            and o.trade_date >= i.valid_from
            and o.trade_date < i.valid_to
    anti join lost as l on o.venue = l.venue and o.instrument = l.instrument and o.trade_date = l.trade_date
    -- The state at the end of the day on which the contract ended is of no contract.
    where i.ended_at is null or o.last_event_at <= i.ended_at
),

valued as (
    select
        o.venue,
        o.instrument,
        o.asset,
        coalesce(o.oi_base, o.oi_usd / p.close_usd) as oi_base,
        coalesce(o.oi_usd, o.oi_base * p.close_usd) as oi_usd,
        o.oi_base_mean,
        o.oi_base_high,
        o.oi_base_low,
        o.observations,
        case
            when o.oi_base is not null and o.oi_usd is not null then 'stated'
            when p.close_usd is not null then 'day_close'
            else 'none'
        end as price_source,
        o.period,
        o.period_minutes,
        o.source,
        case
            when o.oi_base is not null and o.oi_usd is not null then o.available_at
            else greatest(o.available_at, coalesce(p.available_at, o.available_at))
        end as available_at,
        o.trade_date
    from in_asset_units as o
    left join prices as p on o.asset = p.asset and o.trade_date = p.trade_date
),

volumes as (
    select venue, instrument, trade_date, volume_base, available_at
    from {{ ref('int_candles_daily') }}
    where market = 'perp' and volume_base is not null
),

-- What can speak against a value: the days before, what was traded, and what other sources state of it.
usual as (
    select
        valued.*,
        volumes.volume_base,
        count(valued.oi_base) over days_before as usual_days,
        {{ stats_rolling_quantile('valued.oi_base', '0.5e0', 'days_before') }} as usual_oi_base,
        case
            when lag(valued.trade_date) over by_day = valued.trade_date - 1 then lag(valued.oi_base) over by_day
        end as oi_base_day_before,
        case
            when count(volumes.volume_base) over days_so_far = count(*) over days_so_far
                then sum(volumes.volume_base) over days_so_far
        end as volume_base_window,
        max(valued.available_at) over days_before as usual_available_at,
        max(volumes.available_at) over days_so_far as volume_available_at
    from valued
    left join volumes
        on
            valued.venue = volumes.venue
            and valued.instrument = volumes.instrument
            and valued.trade_date = volumes.trade_date
    window
        by_day as (partition by valued.venue, valued.instrument order by valued.trade_date),
        days_before as (
            partition by valued.venue, valued.instrument
            order by valued.trade_date
            range between interval '{{ threshold("taint_window_days") }}' day preceding and interval '1' day preceding
        ),
        days_so_far as (
            partition by valued.venue, valued.instrument
            order by valued.trade_date
            range between interval '{{ threshold("taint_window_days") }}' day preceding and current row
        )
),

statements as (
    select
        venue,
        instrument,
        trade_date,
        max(oi_base) / nullif(min(oi_base), 0) as sources_ratio,
        max(available_at) as available_at
    from {{ ref('int_open_interest_by_source') }}
    where oi_base > 0
    group by venue, instrument, trade_date
    having count(distinct source) > 1
),

compared as (
    select
        usual.*,
        statements.sources_ratio,
        case
            when usual.usual_days >= {{ threshold('taint_known_days_min') }}
                then {{ taint_factor('usual.oi_base', 'usual.usual_oi_base') }}
        end as jump,
        {{ taint_factor('usual.oi_base', 'usual.oi_base_day_before') }} as jump_1d,
        greatest(usual.usual_available_at, usual.volume_available_at, statements.available_at) as judged_at
    from usual
    left join statements
        on
            usual.venue = statements.venue
            and usual.instrument = statements.instrument
            and usual.trade_date = statements.trade_date
)

select
    venue,
    instrument,
    asset,
    oi_base,
    oi_usd,
    oi_base_mean,
    oi_base_high,
    oi_base_low,
    observations,
    price_source,
    {{ oi_taint_reason() }} as taint_reason,
    period,
    period_minutes,
    source,
    -- What a value in question is judged by was known later than the value.
    case
        when jump >= {{ threshold('taint_jump_factor') }} then greatest(available_at, judged_at)
        else available_at
    end as available_at,
    trade_date
from compared
