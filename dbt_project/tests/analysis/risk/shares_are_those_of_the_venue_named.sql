-- What positioning_divergence_daily says of an asset is what the facts say of the venue it names, measure by measure,
-- and it names a venue that tells the ratio of all accounts wherever there is one.
with facts as (
    select
        asset,
        trade_date,
        venue,
        max(long_share) filter (where measure = 'account_global') as account_long_share,
        max(long_share) filter (where measure = 'account_top') as account_top_long_share,
        max(long_share) filter (where measure = 'position_top') as position_top_long_share,
        max(long_share) filter (where measure = 'taker_volume') as taker_long_share
    from {{ ref('fct_positioning_daily') }}
    group by asset, trade_date, venue
),

days as (
    select asset, trade_date, count(account_long_share) as venues_present
    from facts
    group by asset, trade_date
)

select
    days.asset,
    days.trade_date,
    mart.venue,
    mart.account_long_share,
    facts.account_long_share as account_long_share_of_venue
from days
left join {{ ref('positioning_divergence_daily') }} as mart
    on days.asset = mart.asset and days.trade_date = mart.trade_date
left join facts
    on days.asset = facts.asset and days.trade_date = facts.trade_date and mart.venue = facts.venue
where
    facts.venue is null
    or mart.venues_present <> days.venues_present
    or (mart.account_long_share is null and days.venues_present > 0)
    or coalesce(mart.account_long_share, -1) <> coalesce(facts.account_long_share, -1)
    or coalesce(mart.account_top_long_share, -1) <> coalesce(facts.account_top_long_share, -1)
    or coalesce(mart.position_top_long_share, -1) <> coalesce(facts.position_top_long_share, -1)
    or coalesce(mart.taker_long_share, -1) <> coalesce(facts.taker_long_share, -1)
