-- Liquidations by price: the bins of int_liquidation_bins, ranked, judged against the asset's days before, joined to
-- clusters and colored.
with bins as (
    select
        *,
        floor((notional_usd) * 1e6 + 0.5e0) / 1e6 as judged_usd,
        ln(1 + notional_usd) as log_usd
    from intermediate.int_liquidation_bins
),

days as (
    select
        asset,
        trade_date,
        count(notional_usd) over days_before as days_known,
        available_at
    from intermediate.int_liquidation_days
    window days_before as (
        partition by asset order by trade_date rows between 90 preceding and 1 preceding
    )
),

prices as (
    select asset, trade_date, close_usd, available_at from marts.fct_price_daily
),

source_lists as (
    select
        messy.gathered,
        array_to_string(list_sort(list_distinct(list(member.item) filter (where member.item is not null))), ',') as tidy
    from (
        select
            gathered,
            string_split(gathered, ',') as items
        from (
            select distinct source_list as gathered from bins where source_list is not null
        ) as lists
    ) as messy
    cross join lateral unnest(messy.items) as member (item)
    group by messy.gathered
),

measured as (
    select
        *,
        rank() over (partition by asset, trade_date order by judged_usd desc) as density_rank,
        quantile_cont(judged_usd, 0.9e0) over days_before as dense_usd
    from bins
    window
        days_before as (
            partition by asset
            order by trade_date
            range between interval '90' day preceding
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
        percentile_cont(0.1e0) within group (order by log_usd) as log_low,
        percentile_cont(0.95e0) within group (order by log_usd) as log_high,
        max(available_at) as available_at
    from dated
    where trade_date > newest_date - 365
    group by asset
),

judged as (
    select
        measured.*,
        prices.close_usd,
        cast(days.days_known as int) as days_known,
        case
            when days.days_known = 90
                then measured.judged_usd > floor((measured.dense_usd) * 1e6 + 0.5e0) / 1e6
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
    1.0e0 * power(1 + 0.0025e0, judged.bin_no) as price_low_usd,
    1.0e0 * power(1 + 0.0025e0, (judged.bin_no + 1)) as price_high_usd,
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
    1.0e0 * power(1 + 0.0025e0, clusters.cluster_id) as cluster_low_usd,
    1.0e0 * power(1 + 0.0025e0, (clusters.last_bin_no + 1)) as cluster_high_usd,
    clusters.cluster_usd,
    judged.close_usd,
    case
        when judged.bin_no = cast(floor(
        ln(judged.close_usd / 1.0e0) / ln(1 + 0.0025e0) + 1e-9
    ) as int) then 0e0
        else case
        when 1.0e0 * power(1 + 0.0025e0, judged.bin_no) > judged.close_usd then 1.0e0 * power(1 + 0.0025e0, judged.bin_no) / judged.close_usd - 1
        when 1.0e0 * power(1 + 0.0025e0, (judged.bin_no + 1)) <= judged.close_usd then 1.0e0 * power(1 + 0.0025e0, (judged.bin_no + 1)) / judged.close_usd - 1
        when judged.close_usd is not null then 0e0
    end
    end as distance_to_close,
    judged.color_value,
    '#'
    || lpad(lower(hex(cast(floor(
        case
            when judged.color_value < 0.125e0 then
                74 + (judged.color_value - 0.0e0) * 256
            when judged.color_value < 0.25e0 then
                106 + (judged.color_value - 0.125e0) * 264
            when judged.color_value < 0.375e0 then
                139 + (judged.color_value - 0.25e0) * 272
            when judged.color_value < 0.5e0 then
                173 + (judged.color_value - 0.375e0) * 240
            when judged.color_value < 0.625e0 then
                203 + (judged.color_value - 0.5e0) * 200
            when judged.color_value < 0.75e0 then
                228 + (judged.color_value - 0.625e0) * 136
            when judged.color_value < 0.875e0 then
                245 + (judged.color_value - 0.75e0) * 56
            else
                252 + (judged.color_value - 0.875e0) * -40
        end + 0.5e0
    ) as bigint))), 2, '0')
    || lpad(lower(hex(cast(floor(
        case
            when judged.color_value < 0.125e0 then
                28 + (judged.color_value - 0.0e0) * 24
            when judged.color_value < 0.25e0 then
                31 + (judged.color_value - 0.125e0) * 88
            when judged.color_value < 0.375e0 then
                42 + (judged.color_value - 0.25e0) * 128
            when judged.color_value < 0.5e0 then
                58 + (judged.color_value - 0.375e0) * 168
            when judged.color_value < 0.625e0 then
                79 + (judged.color_value - 0.5e0) * 224
            when judged.color_value < 0.75e0 then
                107 + (judged.color_value - 0.625e0) * 288
            when judged.color_value < 0.875e0 then
                143 + (judged.color_value - 0.75e0) * 352
            else
                187 + (judged.color_value - 0.875e0) * 408
        end + 0.5e0
    ) as bigint))), 2, '0')
    || lpad(lower(hex(cast(floor(
        case
            when judged.color_value < 0.125e0 then
                140 + (judged.color_value - 0.0e0) * 160
            when judged.color_value < 0.25e0 then
                160 + (judged.color_value - 0.125e0) * -8
            when judged.color_value < 0.375e0 then
                159 + (judged.color_value - 0.25e0) * -136
            when judged.color_value < 0.5e0 then
                142 + (judged.color_value - 0.375e0) * -184
            when judged.color_value < 0.625e0 then
                119 + (judged.color_value - 0.5e0) * -208
            when judged.color_value < 0.75e0 then
                93 + (judged.color_value - 0.625e0) * -208
            when judged.color_value < 0.875e0 then
                67 + (judged.color_value - 0.75e0) * -112
            else
                53 + (judged.color_value - 0.875e0) * 296
        end + 0.5e0
    ) as bigint))), 2, '0') as color_hex,
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
