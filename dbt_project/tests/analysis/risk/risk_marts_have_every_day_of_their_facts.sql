-- leverage_daily has the days of oi_trends_daily, no more and no fewer; positioning_divergence_daily has each day from
-- the first to the last of an asset's ratios. A join that loses rows, or a calendar too short, shows here.
with expected as (
    select 'leverage_daily' as mart, asset, count(*) as days
    from {{ ref('oi_trends_daily') }}
    group by asset
    union all
    select
        'positioning_divergence_daily' as mart,
        asset,
        cast(extract(day from (cast(max(trade_date) as timestamp) - cast(min(trade_date) as timestamp))) as int) + 1
            as days
    from {{ ref('fct_positioning_daily') }}
    group by asset
),

rows_there as (
    {%- for mart in ['leverage_daily', 'positioning_divergence_daily'] %}
    select '{{ mart }}' as mart, asset, count(*) as days from {{ ref(mart) }} group by asset
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    coalesce(expected.mart, rows_there.mart) as mart,
    coalesce(expected.asset, rows_there.asset) as asset,
    expected.days,
    rows_there.days as rows_there
from expected
full join rows_there on expected.mart = rows_there.mart and expected.asset = rows_there.asset
where coalesce(expected.days, 0) <> coalesce(rows_there.days, 0)
