-- Liquidations by price: the bins of int_liquidation_bins, ranked, judged against the asset's days before, joined to
-- clusters and colored.
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

source_lists as ({{ distinct_sorted_list('bins', 'source_list') }}),

measured as (
    select
        *,
        rank() over (partition by asset, trade_date order by judged_usd desc) as density_rank,
        {{ stats_rolling_quantile('judged_usd', threshold('heatmap_dense_quantile'), 'days_before') }} as dense_usd
    from bins
    window
        days_before as (
            partition by asset
            order by trade_date
            range between interval '{{ threshold("heatmap_window_days") }}' day preceding
            and interval '1' day preceding
        )
),

dated as (
    select
        asset,
        trade_date,
        log_usd,
        available_at,
        max(trade_date) over (partition by asset) as newest_date
    from bins
),

-- One scale per asset, that of its newest day, so that a color means the same dollars on every day of a picture.
color_scales as (
    select
        asset,
        percentile_cont({{ threshold('heatmap_color_low_quantile') }}) within group (order by log_usd) as log_low,
        percentile_cont({{ threshold('heatmap_color_high_quantile') }}) within group (order by log_usd) as log_high,
        max(available_at) as available_at
    from dated
    where trade_date > newest_date - {{ threshold('heatmap_color_days') }}
    group by asset
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
        case
            when measured.log_usd >= color_scales.log_high then 1e0
            when measured.log_usd <= color_scales.log_low then 0e0
            else (measured.log_usd - color_scales.log_low) / (color_scales.log_high - color_scales.log_low)
        end as color_value,
        exp(color_scales.log_low) - 1 as color_low_usd,
        exp(color_scales.log_high) - 1 as color_high_usd,
        color_scales.available_at as color_available_at,
        greatest(measured.available_at, days.available_at, prices.available_at) as known_at
    from measured
    inner join days on measured.asset = days.asset and measured.trade_date = days.trade_date
    inner join color_scales on measured.asset = color_scales.asset
    left join prices on measured.asset = prices.asset and measured.trade_date = prices.trade_date
),

dense as (
    select
        asset,
        trade_date,
        bin_no,
        notional_usd,
        bin_no - row_number() over (partition by asset, trade_date order by bin_no) as island
    from judged
    where is_dense
),

clusters as (
    select
        asset,
        trade_date,
        bin_no,
        min(bin_no) over island_bins as cluster_id,
        max(bin_no) over island_bins as last_bin_no,
        sum(notional_usd) over island_bins as cluster_usd
    from dense
    window island_bins as (partition by asset, trade_date, island)
)

select
    judged.asset,
    judged.trade_date,
    judged.bin_no,
    {{ liquidation_bin_low('judged.bin_no') }} as price_low_usd,
    {{ liquidation_bin_low('(judged.bin_no + 1)') }} as price_high_usd,
    judged.notional_usd,
    judged.long_usd,
    judged.short_usd,
    judged.side_unknown_usd,
    judged.long_base,
    judged.short_base,
    judged.events,
    cast(judged.density_rank as int) as density_rank,
    judged.is_dense,
    judged.dense_usd as dense_border_usd,
    clusters.cluster_id,
    {{ liquidation_bin_low('clusters.cluster_id') }} as cluster_low_usd,
    {{ liquidation_bin_low('(clusters.last_bin_no + 1)') }} as cluster_high_usd,
    clusters.cluster_usd,
    judged.close_usd,
    case
        when judged.bin_no = {{ liquidation_bin('judged.close_usd') }} then 0e0
        else {{ liquidation_distance(
            liquidation_bin_low('judged.bin_no'), liquidation_bin_low('(judged.bin_no + 1)'), 'judged.close_usd'
        ) }}
    end as distance_to_close,
    judged.color_value,
    {{ liquidation_color('judged.color_value') }} as color_hex,
    judged.color_low_usd,
    judged.color_high_usd,
    greatest(judged.color_available_at, judged.known_at) as color_available_at,
    judged.input_grain,
    judged.placed_at_close_usd,
    judged.completeness,
    judged.days_known,
    source_lists.tidy as sources,
    judged.known_at as available_at
from judged
left join clusters
    on judged.asset = clusters.asset
    and judged.trade_date = clusters.trade_date
    and judged.bin_no = clusters.bin_no
left join source_lists on judged.source_list = source_lists.gathered
