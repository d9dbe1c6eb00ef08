-- Open interest of puts and of calls per day, summed straight from the strikes of whole chains, is what
-- options_structure_daily states, side by side and together, in coins and in dollars.
with facts as (
    select
        asset,
        trade_date,
        sum(oi_base) filter (where option_type = 'call') as call_oi_base,
        sum(oi_base) filter (where option_type = 'put') as put_oi_base,
        sum(oi_base) as oi_base,
        case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd
    from {{ ref('fct_option_oi_by_strike_daily') }}
    where is_whole_chain
    group by asset, trade_date
)

select
    coalesce(facts.asset, mart.asset) as asset,
    coalesce(facts.trade_date, mart.trade_date) as trade_date,
    facts.oi_base,
    mart.oi_base as mart_oi_base
from facts
full join {{ ref('options_structure_daily') }} as mart
    on facts.asset = mart.asset and facts.trade_date = mart.trade_date
where
    mart.asset is null
    or (facts.oi_base is null) <> (mart.oi_base is null)
    or abs(facts.oi_base - mart.oi_base) > 1e-9 * greatest(1, facts.oi_base)
    or abs(coalesce(facts.call_oi_base, 0) - coalesce(mart.call_oi_base, 0)) > 1e-9 * greatest(1, facts.oi_base)
    or abs(coalesce(facts.put_oi_base, 0) - coalesce(mart.put_oi_base, 0)) > 1e-9 * greatest(1, facts.oi_base)
    or (facts.oi_usd is null) <> (mart.oi_usd is null)
    or abs(facts.oi_usd - mart.oi_usd) > 1e-9 * greatest(1, facts.oi_usd)
