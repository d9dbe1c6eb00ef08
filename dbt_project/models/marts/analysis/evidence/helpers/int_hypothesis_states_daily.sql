-- Signals by the day on which somebody who reads them can act, and those that are only a hypothesis so far.
with expansion_with_move as (
    select
        asset,
        trade_date,
        'oi_expansion_with_move' as signal,
        {{ stats_state(
            stats_snap('oi_growth_1d') ~ ' >= ' ~ threshold('expansion_growth') ~ " and volume_surge = 'on' and "
            ~ stats_snap('abs(log_return)') ~ ' > '
            ~ stats_snap(threshold('expansion_flat_sigmas') ~ ' * realized_vol_30d_daily'),
            [
                'oi_growth_1d', 'log_return', 'realized_vol_30d_daily', "nullif(volume_surge, 'unknown')",
                'case when oi_compared_share_1d >= ' ~ threshold('oi_comparable_share_min') ~ ' then true end',
            ]
        ) }} as state,
        available_at
    from {{ ref('oi_trends_daily') }}
),

states as (
    select asset, trade_date, signal, state, available_at
    from {{ ref('signals_daily') }}
    union all
    select asset, trade_date, signal, state, available_at
    from expansion_with_move
),

entered as (
    select
        signal,
        asset,
        trade_date,
        state,
        available_at,
        -- The day at whose midnight it is entered: the first that begins when the row is known.
        cast(
            available_at - {{ threshold('evidence_entry_hours') }} * interval '1' hour - interval '1' microsecond
            as date
        ) + 1 as entry_date
    from states
    where state <> 'unknown'
)

select
    signal,
    asset,
    entry_date,
    trade_date,
    state,
    available_at
from entered
-- Of two that become known on one day the newer is acted on.
qualify row_number() over (partition by signal, asset, entry_date order by trade_date desc) = 1
