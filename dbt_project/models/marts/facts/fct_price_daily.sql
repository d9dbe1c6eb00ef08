with prices as (
    select
        *,
        case
            when count(log_return) over days_before = {{ threshold('volatility_window_days') }}
                then stddev_samp(log_return) over days_before
        end as realized_vol_30d_daily
    from {{ ref('int_price_daily') }}
    window days_before as (
        partition by asset
        order by trade_date
        range between interval '{{ threshold("volatility_window_days") }}' day preceding and interval '1' day preceding
    )
)

select
    asset,
    trade_date,
    close_usd,
    close_market,
    close_venue,
    spot_close_usd,
    perp_close_usd,
    log_return,
    realized_vol_30d_daily,
    -- A year has 365 trading days here: comparable with implied volatility.
    sqrt(365e0) * realized_vol_30d_daily as realized_vol_30d_annualized,
    is_stale,
    volume_base,
    volume_usd,
    spot_volume_base,
    basis,
    volume_venues,
    input_grain,
    sources,
    available_at
from prices
