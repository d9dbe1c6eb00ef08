-- The payout of an expiry is convex in the settlement price and bends only at strikes. Going up from a strike it rises
-- by the calls at and below it and falls by the puts above it: max pain is the lowest strike where the calls no longer
-- weigh less, and a tie is where they weigh the same, so that the payout stays flat up to the next strike.
with options as (
    select * from marts.fct_option_oi_by_strike_daily
    where is_whole_chain
),

strikes as (
    select
        asset,
        expiry_date,
        trade_date,
        strike_usd,
        coalesce(sum(oi_base) filter (where option_type = 'call'), 0e0) as call_oi_base,
        coalesce(sum(oi_base) filter (where option_type = 'put'), 0e0) as put_oi_base,
        sum(oi_base) as oi_base,
        case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd,
        max(days_to_expiry) as days_to_expiry,
        max(available_at) as available_at
    from options
    group by asset, expiry_date, trade_date, strike_usd
),

piled as (
    select
        *,
        row_number() over up_to as strike_no,
        count(*) over whole as strikes,
        sum(call_oi_base) over whole as expiry_call_oi_base,
        sum(put_oi_base) over whole as expiry_put_oi_base,
        sum(call_oi_base) over up_to as calls_at_or_below,
        coalesce(sum(put_oi_base) over above, 0e0) as puts_above,
        sum(call_oi_base * strike_usd) over up_to as call_strikes_at_or_below,
        coalesce(sum(put_oi_base * strike_usd) over above, 0e0) as put_strikes_above
    from strikes
    window
        whole as (partition by asset, expiry_date, trade_date),
        up_to as (
            partition by asset, expiry_date, trade_date order by strike_usd
            rows between unbounded preceding and current row
        ),
        above as (
            partition by asset, expiry_date, trade_date order by strike_usd
            rows between 1 following and unbounded following
        )
),

-- Open interest is a sum of doubles: what would cancel exactly is compared on a grid.
sloped as (
    select
        *,
        floor(((calls_at_or_below - puts_above) / nullif(expiry_call_oi_base + expiry_put_oi_base, 0)) * 1e12 + 0.5e0) / 1e12
            as slope_above,
        strike_usd * calls_at_or_below - call_strikes_at_or_below
        + put_strikes_above - strike_usd * puts_above as payout_usd
    from piled
),

lowest as (
    select *
    from sloped
    where slope_above >= 0
    qualify row_number() over (partition by asset, expiry_date, trade_date order by strike_usd) = 1
),

expiries as (
    select
        asset,
        expiry_date,
        trade_date,
        cast(count(*) as int) as strikes,
        sum(call_oi_base) as call_oi_base,
        sum(put_oi_base) as put_oi_base,
        sum(oi_base) as oi_base,
        case when count(*) = count(oi_usd) then sum(oi_usd) end as oi_usd,
        max(days_to_expiry) as days_to_expiry,
        max(available_at) as available_at
    from strikes
    group by asset, expiry_date, trade_date
),

listings as (
    select distinct
        asset,
        expiry_date,
        trade_date,
        venue,
        sources
    from options
),

origins as (
    select
        asset,
        expiry_date,
        trade_date,
        array_to_string(list_sort(list_distinct(list(venue) filter (where venue is not null))), ',') as venues,
        array_to_string(list_sort(list_distinct(list(sources) filter (where sources is not null))), ',') as sources
    from listings
    group by asset, expiry_date, trade_date
),

judged as (
    select
        *,
        case
            when call_oi_base + put_oi_base = 0 then 'no_open_interest'
            when call_oi_base = 0 then 'no_calls'
            when put_oi_base = 0 then 'no_puts'
            when strikes = 1 then 'single_strike'
            else 'known'
        end as max_pain_status
    from expiries
)

select
    judged.asset,
    judged.expiry_date,
    judged.trade_date,
    case when judged.max_pain_status = 'known' then lowest.strike_usd end as max_pain_usd,
    judged.max_pain_status,
    case
        when judged.max_pain_status = 'known' then lowest.slope_above = 0 and lowest.strike_no < lowest.strikes
    end as is_tie,
    case when judged.max_pain_status = 'known' then lowest.payout_usd end as payout_usd,
    judged.call_oi_base,
    judged.put_oi_base,
    judged.oi_base,
    judged.oi_usd,
    judged.oi_base / nullif(sum(judged.oi_base) over (partition by judged.asset, judged.trade_date), 0) as oi_share,
    judged.strikes,
    judged.days_to_expiry,
    origins.venues,
    origins.sources,
    greatest(judged.available_at, cast(judged.trade_date + 1 as timestamp)) as available_at
from judged
left join lowest
    on
        judged.asset = lowest.asset
        and judged.expiry_date = lowest.expiry_date
        and judged.trade_date = lowest.trade_date
left join origins
    on
        judged.asset = origins.asset
        and judged.expiry_date = origins.expiry_date
        and judged.trade_date = origins.trade_date
