-- The marts as one script for DuckDB alone, from the clean tables straight to the final ones: what the layers of the dbt
-- project are measured against. It knows its input: one source per table, one instrument per venue, asset and market, daily
-- rows but for liquidations by the hour, no lending. Reads the attached warehouse `w`; creates tables in the current schema.
create macro snap(v) as floor(v * 1e12 + 0.5e0) / 1e12;
create macro listed(texts) as array_to_string(list_sort(list_distinct(string_split(array_to_string(texts, ','), ','))), ',');

-- Facts
create temp table px as
select
    c.venue, c.market, i.asset, c.trade_date, c.source, c.available_at, v.price_rank,
    c.close / i.multiplier as close_usd,
    c.volume_base * i.multiplier as volume_base,
    coalesce(c.volume_quote, c.volume_base * c.close) as volume_usd,
    case when lag(c.trade_date) over s = c.trade_date - 1 then ln(c.close / lag(c.close) over s) end as log_return
from w.clean.candles as c
join w.clean.instruments as i using (venue, instrument)
join w.seeds.venues as v using (venue)
window s as (partition by c.venue, c.instrument, c.market order by c.trade_date);

create table fct_price_daily as
with days as (
    select
        asset, trade_date,
        arg_min(struct_pack(close_usd, venue, log_return), price_rank) filter (where market = 'perp') as p,
        arg_min(struct_pack(close_usd, venue, log_return), price_rank) filter (where market = 'spot') as s,
        sum(volume_base) filter (where market = 'perp') as volume_base,
        sum(volume_usd) filter (where market = 'perp') as volume_usd,
        sum(volume_base) filter (where market = 'spot') as spot_volume_base,
        (count(volume_base) filter (where market = 'perp'))::int as volume_venues,
        max(source) as sources,
        max(available_at) as available_at
    from px group by all
),
bases as (
    select p.asset, p.trade_date, arg_min(p.close_usd / s.close_usd - 1, p.price_rank) as basis
    from px as p join px as s using (venue, asset, trade_date)
    where p.market = 'perp' and s.market = 'spot' group by all
),
closes as (
    select *, coalesce(p, s) as c from days left join bases using (asset, trade_date)
)
select
    asset, trade_date, c.close_usd as close_usd, if(p is null, 'spot', 'perp') as close_market, c.venue as close_venue,
    s.close_usd as spot_close_usd, p.close_usd as perp_close_usd, c.log_return as log_return,
    case when count(c.log_return) over month = 30 then stddev_samp(c.log_return) over month end as realized_vol_30d_daily,
    volume_base, volume_usd, spot_volume_base, basis, volume_venues, '1d' as input_grain, sources, available_at
from closes
window month as (partition by asset order by trade_date range between interval 30 day preceding and interval 1 day preceding);

create table fct_open_interest_daily as
select
    o.venue, i.asset, o.trade_date, o.oi_base * i.multiplier as oi_base,
    coalesce(o.oi_usd, o.oi_base * i.multiplier * p.close_usd) as oi_usd,
    o.oi_base * i.multiplier as oi_base_mean, o.oi_base * i.multiplier as oi_base_high, o.oi_base * i.multiplier as oi_base_low,
    1::bigint as observations, 1::int as instruments,
    case when o.oi_usd is not null then 'stated' when p.close_usd is not null then 'day_close' else 'none' end as price_source,
    o.period as input_grain, o.source as sources,
    if(o.oi_usd is null, greatest(o.available_at, p.available_at), o.available_at) as available_at
from w.clean.open_interest as o
join w.clean.instruments as i using (venue, instrument)
left join fct_price_daily as p on i.asset = p.asset and o.trade_date = p.trade_date;

create table fct_funding_daily as
with settled as (
    select
        f.venue, i.asset, f.trade_date, f.rate, f.interval_hours, f.source, f.available_at, v.neutral_rate_8h,
        f.rate * 8 / f.interval_hours as rate_8h,
        coalesce(f.interval_hours <> lag(f.interval_hours) over s, false) as interval_changed,
        least(
            coalesce(f.settled_at - lag(f.settled_at) over s, interval 20 hour),
            coalesce(lead(f.settled_at) over s - f.settled_at, interval 20 hour)
        ) >= interval 20 hour as is_daily
    from w.clean.funding_rates as f
    join w.clean.instruments as i using (venue, instrument)
    join w.seeds.venues as v using (venue)
    where f.kind = 'settled'
    window s as (partition by f.venue, f.instrument order by f.settled_at)
)
select
    s.venue, s.asset, s.trade_date, 1::int as settlements, s.interval_hours, s.interval_changed, s.rate_8h,
    s.rate_8h as rate_8h_min, s.rate_8h as rate_8h_max, s.rate_8h as rate_8h_last,
    s.rate_8h * 1095 as rate_annualized, s.neutral_rate_8h, (s.rate_8h > 0)::int as positive_settlements,
    (s.rate_8h - s.neutral_rate_8h > 0)::int as above_neutral_settlements,
    if(s.is_daily, 24e0 / s.interval_hours, 1) * s.rate * o.oi_usd as cost_usd, if(s.is_daily, 'daily', 'settlement') as input_grain,
    listed([s.source, o.sources]) as sources, greatest(s.available_at, o.available_at) as available_at
from settled as s
left join fct_open_interest_daily as o
    on s.venue = o.venue and s.asset = o.asset and s.trade_date - 1 = o.trade_date;

create table fct_positioning_daily as
select
    l.venue, i.asset, l.measure, l.trade_date, l.long_share / nullif(1 - l.long_share, 0) as ratio, l.long_share, 1::int as instruments,
    l.period as input_grain, l.source as sources, l.available_at
from w.clean.long_short_ratios as l
join w.clean.instruments as i using (venue, instrument);

create temp table liquidated as
with days as (
    select
        t.venue, i.asset, t.trade_date, max(t.completeness) as completeness, max(t.source) as source,
        max(t.available_at) as available_at, sum(t.long_usd) as long_usd, sum(t.short_usd) as short_usd,
        sum(t.long_base) * any_value(i.multiplier) as long_base, sum(t.short_base) * any_value(i.multiplier) as short_base
    from w.clean.liquidation_totals as t join w.clean.instruments as i using (venue, instrument) group by all
),
quiet as (
    select c.venue, i.asset, c.trade_date, c.source from w.ops.coverage as c join w.clean.instruments as i using (venue, instrument)
    where c.table_name = 'liquidation_totals' and c.status = 'empty'
),
seen as (select venue, asset, max(completeness) as completeness from days group by all)
select *, null::bigint as events from days
union all
select venue, asset, trade_date, completeness, source, (trade_date + 1)::timestamp, 0, 0, 0, 0, 0
from quiet join seen using (venue, asset);

create table fct_liquidations_daily as
select
    venue, '' as chain, asset, side, 'position_notional' as measure, trade_date, v.venue_kind, events,
    if(side = 'long', long_usd, short_usd) as notional_usd,
    if(completeness = 'full', notional_usd, null) as notional_usd_upper, if(side = 'long', long_base, short_base) as quantity_base,
    null::double as largest_usd, completeness, 'stated' as price_source, 0::bigint as unpriced_events, source as sources, available_at
from liquidated join w.seeds.venues as v using (venue), (values ('long'), ('short')) as t(side);

-- Open interest: venues as they reported or, for a week of silence, as they last did
create temp table oi as
with reported as (
    select
        venue, asset, trade_date, oi_base, oi_usd, sources, available_at,
        lead(trade_date, 1, date '9999-12-31') over (partition by venue, asset order by trade_date) as next_report
    from fct_open_interest_daily
),
used as (
    select venue, asset, trade_date, trade_date as compared_on, 0 as silent, oi_base, oi_usd, sources, available_at from reported
    union all
    select r.venue, r.asset, r.day, null, r.k, r.oi_base, r.oi_base * p.close_usd, r.sources, r.available_at
    from (
        select *, unnest(range(1, least(8, next_report - trade_date))) as k, trade_date + k::int as day
        from reported where next_report - trade_date > 1
    ) as r
    left join fct_price_daily as p on r.asset = p.asset and r.day = p.trade_date
)
select
    u.venue, u.asset, u.trade_date, u.silent, u.oi_base, u.oi_usd, u.sources, u.available_at,
    d1.oi_base as base_1d, d1.oi_usd as usd_1d, d7.oi_base as base_7d, d30.oi_base as base_30d
from used as u
left join reported as d1 on u.venue = d1.venue and u.asset = d1.asset and u.compared_on - 1 = d1.trade_date
left join reported as d7 on u.venue = d7.venue and u.asset = d7.asset and u.compared_on - 7 = d7.trade_date
left join reported as d30 on u.venue = d30.venue and u.asset = d30.asset and u.compared_on - 30 = d30.trade_date;

create temp table plausible as
select
    o.asset, o.trade_date, count(*)::int as oi_changes_checked,
    (count(*) filter (where abs(o.oi_base - o.base_1d) > p.volume_base))::int as oi_changes_implausible
from oi as o join px as p on p.market = 'perp' and o.venue = p.venue and o.asset = p.asset and o.trade_date = p.trade_date
where o.base_1d is not null and p.volume_base is not null group by all;

create table oi_trends_daily as
with totals as (
    select
        asset, trade_date, sum(oi_base) as oi_base, case when count(oi_usd) = count(*) then sum(oi_usd) end as oi_usd,
        sum(oi_base) filter (where silent = 0) as oi_base_reported,
        (count(*) filter (where silent = 0))::int as venues_present, count(*)::int as venues_expected,
        count(base_1d)::int as venues_compared_1d, count(base_7d)::int as venues_compared_7d, count(base_30d)::int as venues_compared_30d,
        sum(oi_base - base_1d) as oi_base_change_1d, sum(oi_base - base_7d) as oi_base_change_7d,
        sum(oi_base - base_30d) as oi_base_change_30d, sum(base_1d) as before_1d,
        sum(oi_base - base_7d) / sum(base_7d) as oi_growth_7d, sum(oi_base - base_30d) / sum(base_30d) as oi_growth_30d,
        count(*) filter (where base_1d is not null and (oi_usd is null or usd_1d is null)) = 0 as is_priced,
        sum(oi_usd - usd_1d) as oi_usd_change_1d,
        sum((oi_base - base_1d) * usd_1d / base_1d) as oi_usd_position_1d,
        sum(base_1d * (oi_usd / oi_base - usd_1d / base_1d)) as oi_usd_price_1d,
        sum((oi_base - base_1d) * (oi_usd / oi_base - usd_1d / base_1d)) as oi_usd_cross_1d,
        sum(oi_base * oi_base) / (sum(oi_base) * sum(oi_base)) as oi_hhi,
        max(sources) as sources, max(available_at) as available_at
    from oi group by all
),
spine as (
    select asset, trade_date from (select asset, min(trade_date) as a, max(trade_date) as b from fct_open_interest_daily group by all),
        lateral (select unnest(generate_series(a, b, interval 1 day))::date as trade_date)
),
daily as (
    select
        t.* exclude (asset, trade_date, oi_base, oi_usd, oi_hhi), spine.asset, spine.trade_date,
        if(t.venues_present > 0, t.oi_base, null) as oi_base, if(t.venues_present > 0, t.oi_usd, null) as oi_usd,
        if(t.venues_present > 0, t.oi_hhi, null) as oi_hhi,
        t.oi_base_change_1d / t.before_1d as oi_growth_1d,
        ln(1 + oi_growth_1d) as oi_log_change_1d, lag(oi_base) over by_day as total_before,
        coalesce(t.venues_expected, 0) as expected, lag(expected) over by_day as expected_before
    from spine left join totals as t using (asset, trade_date)
    window by_day as (partition by spine.asset order by spine.trade_date)
),
linked as (
    select
        *,
        sum(if(oi_log_change_1d is null or oi_base is null, 1, 0)) over (partition by asset order by trade_date) as segment,
        case
            when oi_log_change_1d is null or (venues_compared_1d = expected and expected = expected_before) then 0
            else oi_log_change_1d - (ln(oi_base) - ln(total_before))
        end as step
    from daily
),
levels as (
    select *, ln(oi_base) + coalesce(sum(step) over so_far, 0) as level, oi_base * exp(coalesce(sum(step) over so_far, 0)) as oi_base_chain_linked
    from linked window so_far as (partition by asset, segment order by trade_date)
),
scored as (
    select
        *,
        if(count(oi_log_change_1d) over month = 30, stddev_samp(oi_log_change_1d) over month, null) as oi_log_change_sd_30d,
        if(count(level) over quarter = 90, (level - avg(level) over quarter) / stddev_samp(level) over quarter, null) as oi_zscore_90d,
        count(level) over year_and_day as known,
        rank(order by snap(level)) over year_and_day - 1 as below, rank(order by snap(level) desc) over year_and_day - 1 as above
    from levels
    window
        month as (partition by asset, segment order by trade_date rows between 30 preceding and 1 preceding),
        quarter as (partition by asset, segment order by trade_date rows between 90 preceding and 1 preceding),
        year_and_day as (partition by asset, segment order by trade_date rows between 365 preceding and current row)
),
prices as (
    select
        *,
        if(count(volume_base) over month = 30, quantile_cont(volume_base, 0.8) over month, null) as volume_high_30d,
        min(volume_venues) over month = volume_venues and max(volume_venues) over month = volume_venues as is_comparable
    from fct_price_daily
    window month as (partition by asset order by trade_date range between interval 30 day preceding and interval 1 day preceding)
),
judged as (
    select
        s.* exclude (sources, available_at), p.close_usd, p.log_return, p.realized_vol_30d_daily, p.volume_base, p.volume_venues,
        p.volume_high_30d, coalesce(c.oi_changes_checked, 0) as oi_changes_checked, c.oi_changes_implausible,
        s.before_1d / s.total_before as oi_compared_share_1d,
        listed([s.sources, p.sources]) as sources, greatest(s.available_at, p.available_at, s.trade_date + 1) as available_at,
        snap(p.log_return) as r, if(oi_compared_share_1d >= 0.5, snap(s.oi_log_change_1d), null) as o,
        if(oi_compared_share_1d >= 0.5, snap(s.oi_growth_1d), null) as g, snap(0.5 * p.realized_vol_30d_daily) as half_sigma,
        snap(p.realized_vol_30d_daily) as sigma, snap(0.5 * s.oi_log_change_sd_30d) as half_oi,
        case when half_sigma is null or half_oi is null or r is null or o is null then 'unknown'
            when abs(r) <= half_sigma or abs(o) <= half_oi then 'neutral'
            when o > 0 then if(r > 0, 'long_build_up', 'short_build_up') else if(r > 0, 'short_covering', 'long_unwinding') end as quadrant,
        case when g is null or r is null or half_sigma is null then 'unknown'
            when g >= 0.08 and abs(r) <= half_sigma then 'on' else 'off' end as expansion,
        case when p.volume_base is null or p.volume_high_30d is null or not coalesce(p.is_comparable, false) then 'unknown'
            when p.volume_base >= p.volume_high_30d then 'on' else 'off' end as volume_surge,
        case when half_sigma is null or half_oi is null or r is null or o is null then 'unknown' when r > -sigma then 'none'
            when o > half_oi then 'bought_dip' when o < -half_oi then 'deleveraging' else 'neutral' end as divergence
    from scored as s left join prices as p using (asset, trade_date) left join plausible as c using (asset, trade_date)
)
select
    asset, trade_date, oi_base, oi_usd, oi_base_reported, oi_base_chain_linked, coalesce(venues_present, 0) as venues_present,
    expected as venues_expected, venues_present / nullif(venues_expected, 0) as venue_share,
    oi_base_reported / oi_base as oi_reported_share, oi_base_change_1d, oi_base_change_7d, oi_base_change_30d,
    oi_growth_1d, oi_growth_7d, oi_growth_30d, coalesce(venues_compared_1d, 0) as venues_compared_1d,
    coalesce(venues_compared_7d, 0) as venues_compared_7d, coalesce(venues_compared_30d, 0) as venues_compared_30d, oi_compared_share_1d,
    if(is_priced, oi_usd_change_1d, null) as oi_usd_change_1d, if(is_priced, oi_usd_position_1d, null) as oi_usd_position_1d,
    if(is_priced, oi_usd_price_1d, null) as oi_usd_price_1d, if(is_priced, oi_usd_cross_1d, null) as oi_usd_cross_1d,
    oi_log_change_1d, oi_log_change_sd_30d, oi_zscore_90d,
    if(known = 366 and level is not null, 100 * (below + 0.5 * (365 - below - above)) / 365, null) as oi_percentile_365d, oi_hhi,
    close_usd, log_return, realized_vol_30d_daily, volume_base, volume_venues, volume_high_30d, quadrant, expansion, volume_surge,
    case when expansion = 'unknown' or volume_surge = 'unknown' then 'unknown'
        when expansion = 'on' and volume_surge = 'on' then 'on' else 'off' end as expansion_confirmed,
    divergence, oi_changes_checked, oi_changes_implausible,
    case oi_changes_implausible when 0 then 'on' else if(oi_changes_implausible is null, 'unknown', 'off') end as oi_change_plausible,
    if(venues_expected > 0, '1d', null) as input_grain, nullif(sources, '') as sources,
    max(available_at) over (partition by asset order by trade_date) as available_at
from judged;

-- Funding, at daily frequency
create temp table rates as
select
    f.venue, f.asset, f.trade_date, f.rate_8h, f.rate_8h - f.neutral_rate_8h as excess_rate_8h, o.oi_usd, p.volume_usd, f.interval_hours,
    f.interval_changed,
    [f.sources, o.sources, p.source] as sources, greatest(f.available_at, o.available_at, p.available_at) as available_at
from fct_funding_daily as f
left join oi as o on f.venue = o.venue and f.asset = o.asset and f.trade_date - 1 = o.trade_date
left join px as p on p.market = 'perp' and f.venue = p.venue and f.asset = p.asset and f.trade_date - 1 = p.trade_date;

create table funding_regimes_daily as
with means as (
    select
        asset, trade_date, count(*)::int as venues_present, count(oi_usd)::int as venues_weighted,
        sum(oi_usd * rate_8h) / sum(oi_usd) as rate_8h_oi_weighted, sum(volume_usd * rate_8h) / sum(volume_usd) as rate_8h_volume_weighted,
        median(rate_8h) as rate_8h_median, if(venues_weighted >= 0.5 * venues_present, 'oi_weighted', 'median') as rate_basis,
        snap(if(rate_basis = 'median', median(rate_8h), sum(oi_usd * rate_8h) / sum(oi_usd))) as rate_8h,
        snap(if(rate_basis = 'median', median(excess_rate_8h), sum(oi_usd * excess_rate_8h) / sum(oi_usd))) as excess_rate_8h,
        -- the mean of squares less the square of the mean would lose the digits that matter
        list((rate_8h, oi_usd)) filter (where oi_usd is not null) as weighed,
        min(interval_hours) as interval_hours_min, max(interval_hours) as interval_hours_max,
        (count(*) filter (where interval_changed))::int as interval_changes, sum(oi_usd) as oi_usd, flatten(list(sources)) as sources, max(available_at) as available_at
    from rates group by all
),
spine as (
    select asset, trade_date from (select asset, min(trade_date) as a, max(trade_date) as b from means group by all),
        lateral (select unnest(generate_series(a, b, interval 1 day))::date as trade_date)
),
silences as (
    select asset, trade_date + k::int as trade_date, count(*) as n from (
        select *, unnest(range(1, least(8, next_report - trade_date))) as k from (
            select asset, trade_date, lead(trade_date, 1, date '9999-12-31') over (partition by venue, asset order by trade_date) as next_report
            from rates
        ) where next_report - trade_date > 1
    ) group by all
),
held as (select asset, trade_date + 1 as trade_date, sum(oi_usd) as oi_usd from oi group by all),
steps as (
    select
        m.* exclude (asset, trade_date, oi_usd, venues_present, venues_weighted), s.asset, s.trade_date,
        coalesce(m.venues_present, 0) as venues_present, coalesce(m.venues_weighted, 0) as venues_weighted,
        coalesce(m.venues_present, 0) + coalesce(q.n, 0)::int as venues_expected, m.oi_usd / nullif(h.oi_usd, 0) as oi_weighted_share,
        row_number() over by_day as day_no,
        count(*) filter (where m.excess_rate_8h is null) over by_day as segment,
        if(m.rate_8h is not null, sign(m.rate_8h)::int, null) as rate_sign_no
    from spine as s
    left join means as m using (asset, trade_date)
    left join silences as q using (asset, trade_date)
    left join held as h using (asset, trade_date)
    window by_day as (partition by s.asset order by s.trade_date)
),
ranked as (
    select
        *,
        count(excess_rate_8h) over w as known, rank(order by excess_rate_8h nulls last) over w - 1 as below, rank(order by excess_rate_8h desc nulls last) over w - 1 as above,
        coalesce(rate_sign_no <> lag(rate_sign_no) over d, true) as is_turn
    from steps where excess_rate_8h is not null
    window
        d as (partition by asset, segment order by trade_date),
        w as (partition by asset, segment order by trade_date rows between 90 preceding and current row)
),
classed as (
    select
        *, if(known = 91, 100 * (below + 0.5 * (90 - below - above)) / 90, null) as pct,
        case when pct is null then null when abs(excess_rate_8h) <= 0.00001 then 'neutral'
            when excess_rate_8h > 0 then if(pct >= 97.5, 'extreme_positive', if(pct >= 90, 'elevated', 'mild_positive'))
            else if(pct <= 2.5, 'extreme_negative', if(pct <= 10, 'depressed', 'negative')) end as class,
        day_no - coalesce(max(if(is_turn, day_no, null)) over (partition by asset, segment order by trade_date), day_no) + 1 as run
    from ranked
),
confirmed as (
    select
        *, if(count(class) over three = 3 and min(class) over three = max(class) over three, class, null) as agreed,
        max(pct) over three as highest, min(pct) over three as lowest
    from classed window three as (partition by asset, segment order by trade_date rows between 2 preceding and current row)
),
latched as (
    select
        *,
        last_value(case when agreed = 'extreme_positive' then 1 when agreed is not null and highest < 90 then 0 end ignore nulls) over so_far as is_high,
        last_value(case when agreed = 'extreme_negative' then 1 when agreed is not null and lowest > 10 then 0 end ignore nulls) over so_far as is_low,
        last_value(agreed ignore nulls) over so_far as latest
    from confirmed window so_far as (partition by asset, segment order by trade_date)
),
days as (
    select
        s.*, l.pct, coalesce(l.class, 'unknown') as class, l.run,
        case when l.pct is null then 'unknown' when l.is_high = 1 then 'extreme_positive' when l.is_low = 1 then 'extreme_negative'
            else coalesce(l.latest, 'unknown') end as regime,
        regime like 'extreme%' as is_extreme, coalesce(l.pct > 10 and l.pct < 90, false) as is_inside,
        coalesce(regime <> lag(regime) over (partition by s.asset order by s.trade_date), true) as is_new
    from steps as s left join latched as l using (asset, trade_date)
),
counted as (
    select
        *,
        day_no - max(if(is_new, day_no, null)) over so_far + 1 as days_in_run,
        day_no - coalesce(max(if(is_inside, null, day_no)) over so_far, 0) as days_inside,
        day_no - coalesce(max(if(regime = 'unknown', day_no, null)) over so_far, 0) as days_known,
        count(rate_8h) over month as month_days, count(*) filter (where rate_8h > 0) over month as positive_days,
        count(*) filter (where excess_rate_8h > 0) over month as above_days,
        if(count(rate_8h) over month = 30, snap(stddev_samp(rate_8h) over month), null) as rate_8h_sd_30d,
        if(count(rate_8h) over week = 7, snap(avg(rate_8h) over week), null) as rate_8h_mean_7d,
        if(count(interval_changes) over month = 30, sum(interval_changes) over month, null) as interval_changes_30d,
        max(greatest(available_at, trade_date + 1)) over so_far as known_at,
        case when is_extreme then 1 when regime = 'unknown' or days_inside >= 3 then 0 end as mark
    from days
    window
        so_far as (partition by asset order by trade_date),
        week as (partition by asset order by trade_date rows between 7 preceding and 1 preceding),
        month as (partition by asset order by trade_date rows between 30 preceding and 1 preceding)
),
marked as (
    select
        *, if(count(rate_8h_sd_30d) over year = 365, snap(quantile_cont(rate_8h_sd_30d, 0.5) over year), null) as rate_8h_sd_median_365d,
        last_value(mark ignore nulls) over (partition by asset order by trade_date rows between unbounded preceding and 1 preceding) as earlier
    from counted window year as (partition by asset order by trade_date rows between 365 preceding and 1 preceding)
)
select
    asset, trade_date, rate_8h, coalesce(rate_basis, 'unknown') as rate_basis, rate_8h_oi_weighted, rate_8h_volume_weighted, rate_8h_median,
    if(venues_weighted > 1, sqrt(list_sum([t[2] * pow(t[1] - rate_8h_oi_weighted, 2) for t in weighed]) / list_sum([t[2] for t in weighed])), null)
        as rate_8h_dispersion,
    snap(rate_8h - excess_rate_8h) as neutral_rate_8h, excess_rate_8h, excess_rate_8h as excess_rate_8h_at_close, pct as excess_rate_percentile_90d, class as regime_class, regime,
    if(regime <> 'unknown', days_in_run, null)::int as days_in_regime,
    if(rate_8h is not null and month_days = 30, positive_days / 30, null) as positive_share_30d,
    if(rate_8h is not null and month_days = 30, above_days / 30, null) as above_neutral_share_30d,
    case rate_sign_no when 1 then 'positive' when 0 then 'zero' when -1 then 'negative' else 'unknown' end as rate_sign,
    run::int as sign_run_length, rate_8h_sd_30d, rate_8h_sd_median_365d, rate_8h_mean_7d,
    case when rate_8h_mean_7d is null or rate_8h_sd_30d is null or rate_8h_sd_median_365d is null then 'unknown'
        when rate_8h_mean_7d between 0.000037 and 0.000072 and rate_8h_sd_30d < rate_8h_sd_median_365d then 'on' else 'off' end
        as healthy_market,
    interval_hours_min, interval_hours_max, interval_changes, interval_changes_30d::int as interval_changes_30d,
    case when regime = 'unknown' or days_known < 3 then 'unknown' when not is_extreme and days_inside >= 3 and earlier = 1 then 'on'
        else 'off' end as normalization,
    if(rate_8h is null, 'none', 'daily') as input_grain, venues_present, venues_expected, venues_present / nullif(venues_expected, 0) as venue_share,
    venues_weighted, oi_weighted_share, listed(sources) as sources, known_at as available_at
from marked;

-- Liquidations side by side
create table liquidation_comparison_daily as
with venues as (
    select
        v.venue_kind, l.*, l.long_usd + l.short_usd as usd, l.long_base + l.short_base as base,
        b.oi_base as oi_before, b.oi_usd as oi_usd_before,
        case when l.completeness = 'full' then l.long_usd + l.short_usd
            when snap(abs(p.log_return)) is null or p.realized_vol_30d_daily is null then null
            when snap(abs(p.log_return)) <= snap(2 * p.realized_vol_30d_daily) then l.long_usd + l.short_usd
            when t.base_1d is null then null
            else greatest(l.long_usd + l.short_usd, (t.base_1d - t.oi_base) * p.close_usd) end as upper,
        [l.source, p.sources, b.sources, t.sources] as sources,
        greatest(l.available_at, p.available_at, b.available_at, t.available_at) as known_at
    from liquidated as l
    join w.seeds.venues as v using (venue)
    left join fct_price_daily as p using (asset, trade_date)
    left join oi as t on t.silent = 0 and l.venue = t.venue and l.asset = t.asset and l.trade_date = t.trade_date
    left join oi as b on b.silent = 0 and l.venue = b.venue and l.asset = b.asset and l.trade_date - 1 = b.trade_date
),
kinds as (
    select
        asset, trade_date, venue_kind, count(*)::int as present, sum(usd) as usd, sum(long_usd) as long_usd, sum(short_usd) as short_usd,
        if(count(upper) = count(*), sum(upper), null) as upper,
        case when bool_or(completeness = 'throttled') then 'throttled' else 'full' end as completeness,
        sum(base) filter (where oi_before > 0) / sum(oi_before) as liq, sum(long_base) filter (where oi_before > 0) / sum(oi_before) as liq_long,
        sum(short_base) filter (where oi_before > 0) / sum(oi_before) as liq_short,
        sum(usd) filter (where oi_usd_before > 0) / sum(oi_usd_before) as liq_usd,
        sum(long_usd) filter (where oi_usd_before > 0) / sum(oi_usd_before) as liq_usd_long,
        sum(short_usd) filter (where oi_usd_before > 0) / sum(oi_usd_before) as liq_usd_short,
        count(oi_usd_before)::int as liq_venues, flatten(list(sources)) as sources, max(known_at) as known_at
    from venues group by all
),
silences as (
    select asset, trade_date + k::int as trade_date, venue_kind, count(*)::int as silent from (
        select *, unnest(range(1, least(8, next_report - trade_date))) as k from (
            select asset, venue_kind, trade_date, lead(trade_date, 1, date '9999-12-31') over (partition by venue, asset order by trade_date) as next_report
            from venues
        ) where next_report - trade_date > 1
    ) group by all
),
spine as (
    select asset, trade_date from (select asset, min(trade_date) as a, max(trade_date) as b from venues group by all),
        lateral (select unnest(generate_series(a, b, interval 1 day))::date as trade_date)
),
daily as (
    select
        s.asset, s.trade_date, e as exchange, p as perp_dex, coalesce(es.silent, 0) + coalesce(e.present, 0) as exchange_expected,
        coalesce(ps.silent, 0) + coalesce(p.present, 0) as perp_dex_expected,
        ln(1 + e.usd) as exchange_log, ln(1 + p.usd) as perp_dex_log, listed(flatten([e.sources, p.sources])) as sources,
        greatest(e.known_at, p.known_at, s.trade_date + 1) as known_at
    from spine as s
    left join kinds as e on s.asset = e.asset and s.trade_date = e.trade_date and e.venue_kind = 'cex'
    left join kinds as p on s.asset = p.asset and s.trade_date = p.trade_date and p.venue_kind = 'perp_dex'
    left join silences as es on s.asset = es.asset and s.trade_date = es.trade_date and es.venue_kind = 'cex'
    left join silences as ps on s.asset = ps.asset and s.trade_date = ps.trade_date and ps.venue_kind = 'perp_dex'
),
scored as (
    select
        *,
        if(count(exchange_log) over quarter = 90 and max(exchange_log) over quarter > min(exchange_log) over quarter,
            (exchange_log - avg(exchange_log) over quarter) / stddev_samp(exchange_log) over quarter, null) as exchange_z,
        if(count(perp_dex_log) over quarter = 90 and max(perp_dex_log) over quarter > min(perp_dex_log) over quarter,
            (perp_dex_log - avg(perp_dex_log) over quarter) / stddev_samp(perp_dex_log) over quarter, null) as perp_dex_z,
        if(count(exchange_log + perp_dex_log) over month = 30, corr(exchange_log, perp_dex_log) over month, null) as correlation
    from daily
    window
        quarter as (partition by asset order by trade_date rows between 90 preceding and 1 preceding),
        month as (partition by asset order by trade_date rows between 30 preceding and 1 preceding)
)
select
    asset, trade_date,
    exchange.usd as exchange_position_notional_usd, exchange.long_usd as exchange_position_notional_usd_long,
    exchange.short_usd as exchange_position_notional_usd_short, null::double as exchange_position_notional_usd_side_unknown,
    exchange.upper as exchange_position_notional_usd_upper, coalesce(exchange.completeness, 'none') as exchange_completeness,
    coalesce(exchange.present, 0) as exchange_venues_present, exchange_expected as exchange_venues_expected,
    exchange.present / nullif(exchange_expected, 0) as exchange_venue_share, if(exchange.present > 0, 0, null)::bigint as exchange_unpriced_events,
    exchange.liq as exchange_liq_to_oi, exchange.liq_long as exchange_liq_to_oi_long, exchange.liq_short as exchange_liq_to_oi_short,
    exchange.liq_usd as exchange_liq_to_oi_usd, exchange.liq_usd_long as exchange_liq_to_oi_usd_long,
    exchange.liq_usd_short as exchange_liq_to_oi_usd_short, coalesce(exchange.liq_venues, 0) as exchange_liq_to_oi_venues,
    perp_dex.usd as perp_dex_position_notional_usd, perp_dex.long_usd as perp_dex_position_notional_usd_long,
    perp_dex.short_usd as perp_dex_position_notional_usd_short, null::double as perp_dex_position_notional_usd_side_unknown,
    perp_dex.upper as perp_dex_position_notional_usd_upper, coalesce(perp_dex.completeness, 'none') as perp_dex_completeness,
    coalesce(perp_dex.present, 0) as perp_dex_venues_present, perp_dex_expected as perp_dex_venues_expected,
    perp_dex.present / nullif(perp_dex_expected, 0) as perp_dex_venue_share, if(perp_dex.present > 0, 0, null)::bigint as perp_dex_unpriced_events,
    perp_dex.liq as perp_dex_liq_to_oi, perp_dex.liq_long as perp_dex_liq_to_oi_long, perp_dex.liq_short as perp_dex_liq_to_oi_short,
    perp_dex.liq_usd as perp_dex_liq_to_oi_usd, perp_dex.liq_usd_long as perp_dex_liq_to_oi_usd_long,
    perp_dex.liq_usd_short as perp_dex_liq_to_oi_usd_short, coalesce(perp_dex.liq_venues, 0) as perp_dex_liq_to_oi_venues,
    null::double as lending_collateral_seized_usd, 'none' as lending_collateral_completeness, 0 as lending_collateral_venues_present,
    0 as lending_collateral_venues_expected, null::double as lending_collateral_venue_share, null::bigint as lending_collateral_unpriced_events,
    null::double as lending_debt_repaid_usd, 'none' as lending_debt_completeness, 0 as lending_debt_venues_present,
    0 as lending_debt_venues_expected, null::double as lending_debt_venue_share, null::bigint as lending_debt_unpriced_events,
    perp_dex.usd / nullif(perp_dex.usd + exchange.usd, 0) as perp_dex_share, null::double as lending_to_exchange_ratio,
    exchange_z as exchange_zscore_90d, perp_dex_z as perp_dex_zscore_90d, null::double as lending_zscore_90d,
    exchange_z - perp_dex_z as exchange_perp_dex_zscore_divergence, null::double as exchange_lending_zscore_divergence,
    correlation as exchange_perp_dex_correlation_30d, null::double as exchange_lending_correlation_30d, sources,
    max(known_at) over (partition by asset order by trade_date) as available_at
from scored;

-- Reference and the books
create table dim_instrument as
select venue, instrument, valid_from, asset, quote, contract_type, contract_size, contract_size_unit, multiplier, listed_at, delisted_at,
    source, available_at
from w.clean.instruments;
create table dim_venue as select * from w.seeds.venues;
create table dim_date as
with bounds as (
    select min(day) as a, max(day) as b from (
        select unnest([min(trade_date), max(trade_date)]) as day from w.ops.loads where accepted > 0 and table_name <> 'instruments'
        union all select unnest([min(trade_date), max(trade_date)]) from w.ops.coverage
    )
)
select
    d as trade_date, year(d)::int as year, quarter(d)::int as quarter, month(d)::int as month, day(d)::int as day_of_month,
    isodow(d)::int as iso_weekday, date_trunc('month', d)::date as month_start, d = last_day(d) as is_month_end
from (select unnest(generate_series(a, b, interval 1 day))::date as d from bounds);
create table dim_asset as
with seen as (
    select asset, min(trade_date) as a, max(trade_date) as b from fct_price_daily group by all
    union all select asset, min(trade_date), max(trade_date) from fct_open_interest_daily group by all
    union all select asset, min(trade_date), max(trade_date) from fct_funding_daily group by all
    union all select asset, min(trade_date), max(trade_date) from fct_positioning_daily group by all
    union all select asset, min(trade_date), max(trade_date) from fct_liquidations_daily group by all
    union all select asset, null, null from w.seeds.assets
    union all select asset, null, null from w.clean.instruments
)
select s.asset, any_value(a.name) as asset_name, coalesce(any_value(a.kind), 'coin') as asset_kind, 1e0 as price_ref_usd,
    min(s.a) as first_trade_date, max(s.b) as last_trade_date
from seen as s left join w.seeds.assets as a using (asset) group by s.asset;
create table data_coverage_daily as
with days as (
    select
        source, table_name, venue, trade_date, count(*)::int as instruments_expected, count(*) filter (where status <> 'missing') as present,
        (count(*) filter (where status = 'partial'))::int as instruments_partial,
        case when count(*) = count(expected) then sum(expected) end::bigint as periods_expected, sum(present)::bigint as periods_present,
        sum(quarantined)::bigint as quarantined,
        case when bool_or(status = 'missing') then 'missing' when bool_or(status = 'partial') then 'partial'
            when bool_or(status = 'complete') then 'complete' else 'empty' end as status,
        arg_min(reason, (status <> 'missing', status <> 'partial', instrument, series)) filter (where reason is not null) as primary_reason,
        arg_min({'detail': detail}, (status <> 'missing', status <> 'partial', instrument, series)) filter (where reason is not null)
            as primary_detail,
        min(forgotten_on) as forgotten_on,
        min(instrument, 20) filter (where status = 'missing') as missing
    from w.ops.coverage group by all
)
select
    source, table_name, venue, trade_date, instruments_expected, present::int as instruments_present, instruments_partial, periods_expected,
    periods_present, quarantined, if(status = 'missing' and present > 0, 'partial', status) as status, primary_reason,
    primary_detail.detail as primary_detail, array_to_string(missing, ',') as missing_instruments, forgotten_on
from days;
create table source_freshness as
with held as (
    select
        source, table_name, min(trade_date) as a, max(trade_date) as b, max(loaded_at) as last_loaded_at, count(trade_date)::int as days,
        sum(received)::bigint as rows_received, sum(accepted)::bigint as rows_accepted, sum(duplicates)::bigint as rows_duplicate,
        sum(quarantined)::bigint as rows_quarantined
    from (select * from w.ops.loads qualify row_number() over (partition by source, table_name, trade_date order by load_seq desc) = 1)
    group by all
)
select
    source, table_name, a as first_trade_date, b as last_trade_date, last_loaded_at, days,
    if(table_name <> 'instruments', b - a + 1 - days, null)::int as gap_days, rows_received, rows_accepted, rows_duplicate, rows_quarantined,
    (select count(*) from w.ops.landings as l where l.is_current and l.source = held.source)::int as current_landings,
    if(table_name <> 'instruments', max(b) filter (where table_name <> 'instruments') over () - b, null)::int as lag_days
from held;
