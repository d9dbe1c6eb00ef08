-- A mart with a row per asset and day has one for each day from the first to the last day of the asset's facts: a
-- calendar too short, or a join that loses rows, shows here.
{%- set spans = [
    ('oi_trends_daily', "(select asset, trade_date from " ~ ref('fct_open_interest_daily') ~ " where oi_base is not null)"),
    ('funding_regimes_daily', "(select asset, trade_date from " ~ ref('fct_funding_daily') ~ " where rate_8h is not null)"),
    ('liquidation_comparison_daily', ref('fct_liquidations_daily')),
] %}

with spans as (
    {%- for mart, facts in spans %}
    select
        '{{ mart }}' as mart,
        asset,
        min(trade_date) as first_day,
        max(trade_date) as last_day
    from {{ facts }} as facts
    group by asset
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

lengths as (
    select
        mart,
        asset,
        cast(extract(day from (cast(last_day as timestamp) - cast(first_day as timestamp))) as int) + 1 as days
    from spans
),

rows_there as (
    {%- for mart, facts in spans %}
    select '{{ mart }}' as mart, asset, count(*) as days from {{ ref(mart) }} group by asset
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    coalesce(lengths.mart, rows_there.mart) as mart,
    coalesce(lengths.asset, rows_there.asset) as asset,
    lengths.days,
    rows_there.days as rows_there
from lengths
full join rows_there on lengths.mart = rows_there.mart and lengths.asset = rows_there.asset
where coalesce(lengths.days, 0) <> coalesce(rows_there.days, 0)
