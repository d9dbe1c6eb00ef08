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
        quantile_cont(judged_usd, 0.9e0) over days_before as dense_usd,
        quantile_cont(log_usd, 0.99e0) over days_so_far as brightest
    from bins
    window
        days_before as (
            partition by asset
            order by trade_date
            range between interval '90' day preceding
            and interval '1' day preceding
        ),
        days_so_far as (
            partition by asset
            order by trade_date
            range between interval '90' day preceding and current row
        )
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
        least(1e0, measured.log_usd / measured.brightest) as color_value,
        greatest(measured.available_at, days.available_at, prices.available_at) as known_at
    from measured
    inner join days on measured.asset = days.asset and measured.trade_date = days.trade_date
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
        68 + judged.color_value * (185) + 0.5e0
    ) as bigint))), 2, '0')
    || lpad(lower(hex(cast(floor(
        1 + judged.color_value * (230) + 0.5e0
    ) as bigint))), 2, '0')
    || lpad(lower(hex(cast(floor(
        84 + judged.color_value * (-47) + 0.5e0
    ) as bigint))), 2, '0') as color_hex,
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
