"""An invented market for the benchmark of the marts, written set-wise into the clean tables. No expectations here.

Perpetuals of many assets on six venues with daily candles, open interest, funding and account ratios, and hourly liquidations
of the last year. Venues fall silent, come late, leave days out and restate nothing; every draw is a hash, so each run is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

VENUES = ("binance", "bybit", "okx", "gate", "hyperliquid", "dydx")


@dataclass(frozen=True)
class Size:
    """How much of it: assets on all six venues, days of daily inputs, days of hourly liquidations at their end."""

    assets: int
    days: int
    liquidation_days: int

    @property
    def first_liquidation_day(self) -> int:
        return self.days - self.liquidation_days


# Uniform in [0, 1), by what it is drawn for.
_DRAWS = """
create or replace temp macro draw(a, b, c) as (hash(a, b, c) % 1000003) / 1000003e0;
create or replace temp macro bell(a, b, c) as draw(a, b, c) + draw(a, b, c || '2') + draw(a, b, c || '3') - 1.5e0;
"""

_SERIES = """
create or replace temp table assets as select 'A' || lpad(i::varchar, 3, '0') as asset, i from range({assets}) as t(i);
create or replace temp table days as select date '2022-01-01' + d::int as day, d from range({days}) as t(d);
create or replace temp table venues as select unnest({venues}) as venue, unnest(range(6)) as v;
-- Every tenth asset trades as a thousand of itself on one venue.
create or replace temp table series as
    select v, venue, i, asset, case when v = 0 and i % 10 = 9 then 1000e0 else 1e0 end as multiplier,
        case when v = 0 and i % 10 = 9 then '1000' else '' end || asset || 'USDT' as instrument
    from venues, assets;
create or replace temp table prices as
    select asset, i, day, d, (10e0 + i) * exp(0.06e0 * sum(bell(asset, d, 'price')) over (partition by asset order by d)) as price
    from assets, days;
create or replace temp table points as
    select s.*, p.day, p.d, p.price * (1 + 0.001e0 * bell(venue, d, asset)) as price
    from series as s join prices as p using (asset);

insert into clean.instruments by name
    select venue, instrument, timestamp '1970-01-01' as valid_from, asset, 'USDT' as quote, 'linear' as contract_type, multiplier,
        date '1970-01-01' as trade_date, 'files.archive' as source, 'one' as landing_id,
        timestamp '1970-01-01' as available_at, timestamp '2030-01-01' as loaded_at
    from series;

-- Candles: a perpetual on every venue, spot on the first; the others lack some days, and one states no volume in dollars.
insert into clean.candles by name
    select venue, instrument, market, '1d' as period, day::timestamp as opened_at,
        price * multiplier * case market when 'spot' then 1 - 0.0005e0 * bell(asset, d, 'basis') else 1 end as close,
        volume / multiplier as volume_base,
        case when v <> 2 then volume * price end as volume_quote, day as trade_date, 'files.archive' as source,
        'one' as landing_id, day + interval 25 hour as available_at, timestamp '2030-01-01' as loaded_at
    from (
        select *, 1e6 * exp(bell(venue, d, asset || 'volume')) as volume
        from points, (values ('perp'), ('spot')) as m(market)
        where market = 'perp' or v = 0
    )
    where v = 0 or draw(venue, d, asset || 'candle') > 0.02e0;

-- Open interest: a venue that comes late, silences of a day and of three weeks, a venue that leaves, one without dollars.
insert into clean.open_interest by name
    select venue, instrument, '1d' as period, day + interval 24 hour as event_at, oi / multiplier as oi_base,
        case when v <> 5 then oi * price end as oi_usd, oi / multiplier as oi_raw, 'base' as oi_raw_unit, 'one_sided' as counting,
        day as trade_date, 'files.archive' as source, 'one' as landing_id, day + interval 26 hour as available_at,
        timestamp '2030-01-01' as loaded_at
    from (
        select *, 1e5 * (1 + v) * exp(0.05e0 * sum(bell(venue, d, asset || 'oi')) over (partition by venue, asset order by d)) as oi
        from points
    )
    where draw(venue, d, asset || 'silent') > 0.01e0
        and not (v = 3 and d < {days} * 0.35) and not (v = 4 and i % 20 = 3 and d > {days} * 0.8)
        and not (i % 25 = 7 and v % 2 = 1 and d between {days} * 0.6 and {days} * 0.6 + 20);

-- Funding, one settlement standing for the day: calm at the neutral rate, crowded at times, with a change of the interval.
insert into clean.funding_rates by name
    select venue, instrument, 'settled' as kind, day::timestamp as settled_at,
        case when calm < 0.2e0 then case venue when 'dydx' then 0e0 else 0.0001e0 end
            else 0.0001e0 + 0.0003e0 * bell(asset, d // 20, 'crowd') + 0.00008e0 * bell(venue, d, asset || 'rate') end
            * interval_hours / 8 as rate,
        interval_hours, day as trade_date, 'files.feed' as source, 'two' as landing_id,
        day + interval 1 minute as available_at, timestamp '2030-01-01' as loaded_at
    from (
        select *, draw(asset, d // 5, 'calm') as calm,
            case when i % 15 = 4 and d >= {days} // 2 then 4e0 else 8e0 end as interval_hours
        from points
    )
    where draw(venue, d, asset || 'unpaid') > 0.005e0;

insert into clean.long_short_ratios by name
    select venue, instrument, measure, '1d' as period, day + interval 24 hour as event_at, long_share / (1 - long_share) as ratio,
        long_share, day as trade_date, 'files.feed' as source, 'two' as landing_id, day + interval 25 hour as available_at,
        timestamp '2030-01-01' as loaded_at
    from (
        select *, 0.5e0 + 0.2e0 * bell(venue, d, asset || measure) as long_share
        from points, (values ('account_global'), ('position_top')) as m(measure)
        where measure = 'account_global' or v = 0
    );

-- Liquidations by the hour, heavy-tailed and heavier where the price moves; some days pass without any.
insert into clean.liquidation_totals by name
    select venue, instrument, 'position_notional' as measure, '1h' as period, day + (h + 1) * interval 1 hour as event_at,
        longs * price as long_usd, shorts * price as short_usd, longs / multiplier as long_base, shorts / multiplier as short_base,
        case when v in (0, 2) then 'throttled' else 'full' end as completeness, day as trade_date, 'files.feed' as source,
        'two' as landing_id, day + (h + 2) * interval 1 hour as available_at, timestamp '2030-01-01' as loaded_at
    from (
        select *, 100e0 * (1 + v) * pow(draw(asset, d, 'l'), 8) * draw(venue, d * 24 + h, asset || 'long') as longs,
            100e0 * (1 + v) * pow(draw(asset, d, 's'), 8) * draw(venue, d * 24 + h, asset || 'short') as shorts
        from points, range(24) as t(h)
        where d >= {first_liquidation_day} and not (v > 2 and draw(venue, d, asset || 'quiet') < 0.03e0)
    );

-- The books: what was loaded, and for each series and day whether it is there.
insert into ops.loads
    select row_number() over (order by table_name, trade_date), source, table_name, trade_date, n, n, 0, 0, 0, 0, 0, 0, null,
        timestamp '2030-01-01', null, null, null
    from (
        select source, 'candles' as table_name, trade_date, count(*) as n from clean.candles group by all
        union all select source, 'open_interest', trade_date, count(*) from clean.open_interest group by all
        union all select source, 'funding_rates', trade_date, count(*) from clean.funding_rates group by all
        union all select source, 'long_short_ratios', trade_date, count(*) from clean.long_short_ratios group by all
        union all select source, 'liquidation_totals', trade_date, count(*) from clean.liquidation_totals group by all
        union all select source, 'instruments', null, count(*) from clean.instruments group by all
    );
insert into ops.coverage
    with expected as (
        select venue, instrument, day, k.* from points, (values
            ('files.archive', 'candles', 'perp 1d', 1, 0), ('files.archive', 'open_interest', '1d', 1, 0),
            ('files.feed', 'funding_rates', 'settled', 1, 0), ('files.feed', 'long_short_ratios', 'account_global 1d', 1, 0),
            ('files.feed', 'liquidation_totals', 'position_notional 1h', 24, {first_liquidation_day})
        ) as k(source, table_name, series, periods, from_day)
        where d >= from_day
    ),
    present as (
        select 'candles' as table_name, venue, instrument, trade_date, count(*) as n
            from clean.candles where market = 'perp' group by all
        union all select 'open_interest', venue, instrument, trade_date, count(*) from clean.open_interest group by all
        union all select 'funding_rates', venue, instrument, trade_date, count(*) from clean.funding_rates group by all
        union all select 'long_short_ratios', venue, instrument, trade_date, count(*)
            from clean.long_short_ratios where measure = 'account_global' group by all
        union all select 'liquidation_totals', venue, instrument, trade_date, count(*) from clean.liquidation_totals group by all
    )
    select expected.source, expected.table_name, expected.venue, expected.instrument, series, day,
        case when expected.table_name <> 'liquidation_totals' then periods end,
        coalesce(n, 0), 0,
        case when n is not null then 'complete' when expected.table_name = 'liquidation_totals' then 'empty' else 'missing' end,
        case when n is null and expected.table_name <> 'liquidation_totals' then 'not in the source' end,
        null, null
    from expected left join present
        on expected.table_name = present.table_name and expected.venue = present.venue
        and expected.instrument = present.instrument and expected.day = present.trade_date;
"""


def write_market(con: duckdb.DuckDBPyConnection, size: Size) -> None:
    """Fill the empty clean and ops tables of an open warehouse."""
    con.execute(_DRAWS)
    con.execute(
        _SERIES.format(
            assets=size.assets, days=size.days, first_liquidation_day=size.first_liquidation_day, venues=list(VENUES)
        )
    )
