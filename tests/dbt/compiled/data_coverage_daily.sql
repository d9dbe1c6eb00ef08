-- An instrument is as complete as its least complete series.
with instruments as (
    select
        source,
        table_name,
        venue,
        instrument,
        trade_date,
        sum(expected) as expected,
        sum(present) as present,
        sum(quarantined) as quarantined,
        max(case status when 'missing' then 3 when 'partial' then 2 when 'complete' then 1 else 0 end) as severity,
        min(reason) filter (where status = 'missing') as missing_reason,
        min(forgotten_on) as forgotten_on
    from staging.stg_coverage
    group by source, table_name, venue, instrument, trade_date
),

worst as (
    select
        source,
        table_name,
        venue,
        trade_date,
        reason as primary_reason,
        detail as primary_detail
    from staging.stg_coverage
    where reason is not null
    qualify
        row_number() over (
            partition by source, table_name, venue, trade_date
            order by
                case status when 'missing' then 1 when 'partial' then 2 else 3 end,
                instrument,
                series
        ) = 1
),

days as (
    select
        source,
        table_name,
        venue,
        trade_date,
        cast(count(*) as int) as instruments_expected,
        cast(count(*) filter (where severity < 3) as int) as instruments_present,
        cast(count(*) filter (where severity = 2) as int) as instruments_partial,
        case when count(*) = count(expected) then cast(sum(expected) as bigint) end as periods_expected,
        cast(sum(present) as bigint) as periods_present,
        cast(sum(quarantined) as bigint) as quarantined,
        case max(severity) when 3 then 'missing' when 2 then 'partial' when 1 then 'complete' else 'empty' end
            as status,
        array_to_string(min(instrument, 20) filter (where severity = 3), ',')
            as missing_instruments,
        array_to_string(min(instrument || ' (' || missing_reason || ')', 20) filter (where severity = 3), ',') as missing_reasons,
        min(forgotten_on) as forgotten_on
    from instruments
    group by source, table_name, venue, trade_date
)

select
    d.source,
    d.table_name,
    d.venue,
    d.trade_date,
    d.instruments_expected,
    d.instruments_present,
    d.instruments_partial,
    d.periods_expected,
    d.periods_present,
    d.quarantined,
    case when d.status = 'missing' and d.instruments_present > 0 then 'partial' else d.status end as status,
    w.primary_reason,
    w.primary_detail,
    d.missing_instruments,
    d.missing_reasons,
    d.forgotten_on
from days as d
left join worst as w
    on
        d.source = w.source
        and d.table_name = w.table_name
        and d.venue = w.venue
        and d.trade_date = w.trade_date
