-- Liquidations by price: the bins of int_liquidation_bins, ranked, judged against the asset's days before, joined to
-- clusters and coloured.
with bins as (
    select
        *,
        {{ liquidation_snap('notional_usd') }} as judged_usd,
        ln(1 + notional_usd) as log_usd
    from {{ ref('int_liquidation_bins') }}
),

days as (
    select
        asset,
        trade_date,
        count(notional_usd) over days_before as days_known,
        available_at
    from {{ ref('int_liquidation_days') }}
    window days_before as (
        partition by asset order by trade_date {{ stats_rows_before(threshold('heatmap_window_days')) }}
    )
),

prices as (
    select asset, trade_date, close_usd, available_at from {{ ref('fct_price_daily') }}
),

source_lists as ({{ stats_tidy_lists('bins', 'source_list') }}),

measured as (
    select
        *,
        rank() over (partition by asset, trade_date order by judged_usd desc) as density_rank,
        {{ stats_rolling_quantile('judged_usd', threshold('heatmap_dense_quantile'), 'days_before') }} as dense_usd,
        {{ stats_rolling_quantile('log_usd', threshold('heatmap_colour_quantile'), 'days_so_far') }} as brightest
    from bins
    window
        days_before as (
            partition by asset
            order by trade_date
            range between interval '{{ threshold("heatmap_window_days") }}' day preceding
            and interval '1' day preceding
        ),
        days_so_far as (
            partition by asset
            order by trade_date
            range between interval '{{ threshold("heatmap_window_days") }}' day preceding and current row
        )
),

judged as (
    select
        measured.*,
        prices.close_usd,
        cast(days.days_known as int) as days_known,
        case
            when days.days_known = {{ threshold('heatmap_window_days') }}
                then measured.judged_usd > {{ liquidation_snap('measured.dense_usd') }}
        end as is_dense,
        least(1e0, measured.log_usd / measured.brightest) as colour_value,
        greatest(measured.available_at, days.available_at, prices.available_at) as known_at
    from measured
    inner join days on measured.asset = days.asset and measured.trade_date = days.trade_date
    left join prices on measured.asset = prices.asset and measured.trade_date = prices.trade_date
),

islands as (
    select
        *,
        case
            when is_dense
                then bin_no - row_number() over (partition by asset, trade_date, is_dense order by bin_no)
        end as island
    from judged
),

clustered as (
    select
        *,
        case when is_dense then min(bin_no) over island_bins end as cluster_id,
        case when is_dense then max(bin_no) over island_bins end as cluster_last_bin,
        case when is_dense then sum(notional_usd) over island_bins end as cluster_usd
    from islands
    window island_bins as (partition by asset, trade_date, island)
)

select
    clustered.asset,
    clustered.trade_date,
    clustered.bin_no,
    {{ liquidation_bin_low('clustered.bin_no') }} as price_low_usd,
    {{ liquidation_bin_low('(clustered.bin_no + 1)') }} as price_high_usd,
    clustered.notional_usd,
    clustered.long_usd,
    clustered.short_usd,
    clustered.side_unknown_usd,
    clustered.long_base,
    clustered.short_base,
    clustered.events,
    cast(clustered.density_rank as int) as density_rank,
    clustered.is_dense,
    clustered.dense_usd as dense_border_usd,
    clustered.cluster_id,
    {{ liquidation_bin_low('clustered.cluster_id') }} as cluster_low_usd,
    {{ liquidation_bin_low('(clustered.cluster_last_bin + 1)') }} as cluster_high_usd,
    clustered.cluster_usd,
    clustered.close_usd,
    case
        when clustered.bin_no = {{ liquidation_bin('clustered.close_usd') }} then 0e0
        else {{ liquidation_distance(
            liquidation_bin_low('clustered.bin_no'), liquidation_bin_low('(clustered.bin_no + 1)'), 'clustered.close_usd'
        ) }}
    end as distance_to_close,
    clustered.colour_value,
    {{ liquidation_colour('clustered.colour_value') }} as colour_hex,
    clustered.input_grain,
    clustered.placed_at_close_usd,
    clustered.completeness,
    clustered.days_known,
    source_lists.tidy as sources,
    clustered.known_at as available_at
from clustered
left join source_lists on clustered.source_list = source_lists.gathered
