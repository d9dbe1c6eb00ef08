-- Minutes and bins roll up the same events as the day's totals do.
with rolled as (
    select
        'days' as model,
        source,
        venue,
        instrument,
        side,
        trade_date,
        events,
        unpriced_events
    from {{ ref('int_liquidation_events_by_source') }}
    union all
    select
        'minutes' as model,
        source,
        venue,
        instrument,
        side,
        trade_date,
        events,
        unpriced_events
    from {{ ref('int_liquidation_minutes_by_source') }}
    union all
    select
        'bins' as model,
        source,
        venue,
        instrument,
        side,
        trade_date,
        events,
        unpriced_events
    from {{ ref('int_liquidation_bins_by_source') }}
),

counted as (
    select
        source,
        venue,
        instrument,
        side,
        trade_date,
        {%- for model in ['days', 'minutes', 'bins'] %}
        coalesce(sum(events) filter (where model = '{{ model }}'), 0) as events_in_{{ model }},
        coalesce(sum(unpriced_events) filter (where model = '{{ model }}'), 0) as unpriced_in_{{ model }}
        {{- ',' if not loop.last }}
        {%- endfor %}
    from rolled
    group by source, venue, instrument, side, trade_date
)

select *
from counted
where
    events_in_minutes <> events_in_days
    or events_in_bins <> events_in_days
    or unpriced_in_minutes <> unpriced_in_days
    or unpriced_in_bins <> unpriced_in_days
