-- Of which days the open positions of a day are: each day opens a cohort, and closings fall on all cohorts alike.
{%- set window_days = threshold('levels_cohort_days') %}

with changes as (
    select
        asset,
        trade_date,
        day_no,
        oi_base,
        close_usd,
        high_usd,
        low_usd,
        oi_base - lag(oi_base) over by_day as oi_change,
        lag(oi_base) over by_day as oi_before,
        volume_base
    from {{ ref('int_liquidation_bars_daily') }}
    window by_day as (partition by asset order by day_no)
),

churned as (
    select
        *,
        {{ threshold('levels_churn_share') }} * greatest(volume_base - abs(oi_change), 0e0) / 2 as churn
    from changes
),

flows as (
    select
        *,
        case when oi_before is null then oi_base else greatest(oi_change, 0e0) + churn end as opened,
        case
            when oi_before is null then 0e0
            else least(
                (greatest(-oi_change, 0e0) + churn) / (oi_before + greatest(oi_change, 0e0) + churn),
                {{ threshold('levels_closed_share_max') }}
            )
        end as closed_share
    from churned
),

kept as (
    select
        *,
        ln(1 - closed_share) as log_kept,
        sum(ln(1 - closed_share)) over (
            partition by asset order by day_no rows between unbounded preceding and current row
        ) as log_kept_so_far
    from flows
),

pairs as (
    select
        today.asset,
        today.trade_date,
        today.day_no,
        today.oi_base,
        today.close_usd,
        cohort.trade_date as opened_on,
        cohort.day_no as opened_day_no,
        cohort.close_usd as entry_price_usd,
        cohort.opened * exp(today.log_kept_so_far - cohort.log_kept_so_far + cohort.log_kept) as still_open,
        -- What the price did on the day of the entry came before or after it; the close is the entry.
        min(case when today.day_no > cohort.day_no then today.low_usd end) over since as low_since_usd,
        max(case when today.day_no > cohort.day_no then today.high_usd end) over since as high_since_usd
    from kept as today
    inner join kept as cohort
        on
            today.asset = cohort.asset
            and today.day_no >= cohort.day_no
            and today.day_no - {{ window_days }} < cohort.day_no
    window since as (
        partition by today.asset, cohort.day_no
        order by today.day_no rows between unbounded preceding and current row
    )
)

select
    asset,
    trade_date,
    opened_on,
    oi_base,
    close_usd,
    entry_price_usd,
    low_since_usd,
    high_since_usd,
    still_open / sum(still_open) over (partition by asset, trade_date) as share_of_oi
from pairs
