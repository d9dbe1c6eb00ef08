-- Question: Does leverage that stands high in its own year precede more liquidations? (H13)
-- Unit: one row per fifth of the scale of the systemic-risk score; days are counts, liquidations a fraction of the
-- open interest of the day before, mean over the first day after the score was known.
-- Trust: the score needs a year of history and all three of its parts, so young assets and years are missing. With a
-- single venue its concentration part is 50 by construction. It stands higher on weekends.
with scored as (
    select
        asset,
        available_at,
        least(4, cast(floor(systemic_risk_score / 20) as int)) as fifth
    from {{ ref('leverage_daily') }}
    where systemic_risk_score is not null
)

select
    scored.fifth * 20 as score_from,
    scored.fifth * 20 + 20 as score_to,
    count(*) as days,
    count(distinct scored.asset) as assets,
    avg(next_day.liq_to_oi_usd) as mean_liquidated_share_next_day,
    avg(next_day.liq_to_oi_usd_long) as mean_longs_liquidated_share_next_day
from scored
inner join {{ ref('leverage_daily') }} as next_day
    on scored.asset = next_day.asset
    and cast(scored.available_at - interval '1' microsecond as date) + 1 = next_day.trade_date
where next_day.liq_to_oi_usd is not null
group by scored.fifth
order by scored.fifth
