-- The feeds behind a day's liquidations, as int_liquidations_daily chose them, and how far each of them tells the hours
-- of that day apart.
with chosen as (
    select * from {{ ref('int_liquidations_daily') }}
),

-- The series of a total is its measure and period, of lending its chain; events have none.
coverage as (
    select
        source,
        table_name,
        venue,
        instrument,
        split_part(series, ' ', 1) as series,
        coalesce({{ period_minutes("split_part(series, ' ', 2)") }}, 0) as period_minutes,
        trade_date,
        status
    from {{ ref('stg_coverage') }}
    where status in ('complete', 'empty')
),

matched as (
    select
        chosen.*,
        coverage.status
    from chosen
    left join coverage
        on
            chosen.source = coverage.source
            and chosen.table_name = coverage.table_name
            and chosen.venue = coverage.venue
            and case chosen.table_name when 'liquidation_totals' then chosen.series else '*' end = coverage.instrument
            and case chosen.table_name when 'liquidation_totals' then chosen.measure else chosen.chain end
            = coverage.series
            and chosen.period_minutes = coverage.period_minutes
            and chosen.trade_date = coverage.trade_date
)

select
    venue,
    chain,
    series,
    asset,
    side,
    measure,
    trade_date,
    venue_kind,
    completeness,
    source,
    table_name,
    period_minutes,
    case
        -- Not even where they say that nothing happened: hours of quiet days alone would show a market without storms.
        when table_name = 'liquidation_totals' and period_minutes > {{ minutes_per_hour() }} then 'none'
        when table_name = 'liquidation_totals' and status = 'empty' then 'day'
        when table_name = 'liquidation_totals' then 'periods'
        -- A sample covers nothing, and a day read in part does not say which hours it lacks.
        when completeness <> 'sampled' and status is not null then 'day'
        else 'events'
    end as hours_known_by,
    available_at
from matched
