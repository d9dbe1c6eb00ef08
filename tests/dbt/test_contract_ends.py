"""Contracts end at every venue and in every table: rows after the end are in no mart, and the ticker that comes back is another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipelines.contract.ddl import apply_ddl, load_contract
from pipelines.sources import registry
from tests.dbt.dbt_fixture import SCHEMA, Dbt, DbtIn

CA, OI, FR, LS, LQ, LT = (
    "candles",
    "open_interest",
    "funding_rates",
    "long_short_ratios",
    "liquidations",
    "liquidation_totals",
)
WHERE: Mapping[str, tuple[str, ...]] = {
    "aster": (CA, OI, FR, LQ),
    "binance": (CA, OI, FR, LS, LQ),
    "bingx": (CA, OI, FR),
    "bitfinex": (OI, LQ),
    "bitget": (CA, OI, FR, LS, LQ),
    "bybit": (CA, OI, FR, LS, LQ),
    "cme": (OI,),
    "deribit": (CA, OI, FR, LQ),
    "dydx": (CA, OI, FR, LQ),
    "edgex": (CA, OI, FR),
    "gate": (CA, OI, FR, LS, LQ, LT),
    "gmx": (LQ,),
    "htx": (CA, OI, FR, LS, LQ),
    "hyperliquid": (CA, OI, FR, LQ, LT),
    "kraken": (CA, OI, FR, LS, LQ),
    "kucoin": (CA, OI, FR),
    "lighter": (CA, OI, FR, LQ),
    "mexc": (CA, OI, FR),
    "okx": (CA, OI, FR, LS, LQ),
    "orderly": (LQ,),
    "paradex": (CA, OI, FR, LQ),
    "phemex": (CA, OI, FR),
    "bitmex": (CA, OI, FR, LS, LQ, LT),
}
"""Which kinds of rows each venue has, and so where contracts end in this test. BitMEX stands for what comes by files alone, and for
what a vendor adds to a venue."""

OF_MODULE = {
    "binance_archive": "binance", "cftc": "cme", "evm_arbitrum": "gmx", "evm_avalanche": "gmx", "hyperliquid_fills": "hyperliquid",
}  # fmt: skip
OF_ALL_VENUES = "coinalyze"
KNOWN_BY = ("venue", "inferred")

# How a row of each clean table looks that states an instrument; `t` is its instant. Options end with their expiry, and lending has
# no contracts.
TABLES: Mapping[str, str] = {
    "candles": """'perp' as market, '1d' as period, t as opened_at, price as open, price as high, price as low, price as close,
        volume as volume_base""",
    "open_interest": """'1d' as period, t + interval 1 day as event_at, 5.0 as oi_base, 5.0 as oi_raw, 'base' as oi_raw_unit,
        'one_sided' as counting""",
    "funding_rates": "'settled' as kind, t + interval 8 hour as settled_at, 0.0001 as rate, 8 as interval_hours",
    "long_short_ratios": """'account_global' as measure, '1d' as period, t + interval 12 hour as event_at, 1.0 as ratio,
        0.5 as long_share""",
    "liquidations": """instrument || t as liquidation_id, 'cex' as venue_kind, t as occurred_at, 'long' as side, 2.0 as price,
        1.0 as quantity_base, 2.0 as notional_usd, 'full' as completeness, false as is_adl""",
    "liquidation_totals": """'position_notional' as measure, '1d' as period, t as event_at, 1.0 as long_usd, 1.0 as short_usd,
        2.0 as total_usd, 'full' as completeness""",
}
FACTS = {
    "candles": "fct_price_daily", "open_interest": "fct_open_interest_daily", "funding_rates": "fct_funding_daily",
    "long_short_ratios": "fct_positioning_daily", "liquidations": "fct_liquidations_daily",
    "liquidation_totals": "fct_liquidations_daily",
}  # fmt: skip

BY_THE_HOUR = ("int_liquidations_hourly", "int_liquidation_bins", "int_liquidation_minutes")

DAYS = """
create temp table days as
with tickers as (
    select venue, known_by, kind, upper(venue || '_' || known_by || '_' || kind) as instrument
    from (select unnest($1) as venue, unnest($2) as kind), (select unnest($3) as known_by)
)
select *, cast(t as date) as trade_date,
    case when t < date '2024-03-01' then 2.0 else 10.0 end as price,
    case when t < date '2024-01-11' or t >= date '2024-03-01' then 7.0 else 0.0 end as volume
from tickers, range(timestamp '2024-01-01', timestamp '2024-03-11', interval 1 day) as r (t)
"""
INSTRUMENTS = """
insert into clean.instruments by name
select distinct venue, instrument, v as valid_from, instrument as asset, 'USDT' as quote, 'linear' as contract_type,
    1.0 as multiplier, l as listed_at, d as delisted_at, v::date as trade_date, venue || '.test' as source, 'l' as landing_id,
    v as available_at, now()::timestamp as loaded_at
from days
inner join (values
    ('venue', timestamp '2023-01-01', timestamp '2023-01-01', timestamp '2024-01-10 20:00:00'),
    ('venue', timestamp '2024-03-01', timestamp '2024-03-01', null),
    ('inferred', timestamp '1970-01-01', null, null)
) as x (known_by, v, l, d) using (known_by)
"""
ROWS = """
insert into clean.{table} by name
select venue, instrument, {columns}, trade_date, venue || '.test' as source, 'l' as landing_id, t + interval 1 day as available_at,
    now()::timestamp as loaded_at
from days where {chosen}
"""
# The last day by the hour, where no venue names the end: traded until eight in the evening.
LAST_DAY = """
insert into clean.candles by name
select venue, instrument, 'perp' as market, '1h' as period, t + hour * interval 1 hour as opened_at, price as open, price as high,
    price as low, price as close, case when hour < 20 then 7.0 else 0.0 end as volume_base, trade_date, venue || '.test' as source,
    'l' as landing_id, t + interval 1 day as available_at, now()::timestamp as loaded_at
from days, range(24) as h (hour)
where known_by = 'inferred' and trade_date = '2024-01-10'
"""
# What comes two hours after the end, on the same day.
LATE: Mapping[str, str] = {
    LS: """'account_global' as measure, '1d' as period, t + interval 22 hour as event_at, 9.0 as ratio, 0.9 as long_share""",
    LQ: """instrument || t || 'late' as liquidation_id, 'cex' as venue_kind, t + interval 22 hour as occurred_at, 'long' as side,
        2.0 as price, 50.0 as quantity_base, 100.0 as notional_usd, 'full' as completeness, false as is_adl""",
    LT: """'position_notional' as measure, '1d' as period, t + interval 22 hour as event_at, 50.0 as long_usd, 50.0 as short_usd,
        100.0 as total_usd, 'full' as completeness""",
}
LOADS = """
insert into ops.loads by name
select row_number() over () as load_seq, venue || '.test' as source, '{table}' as table_name, trade_date, count(*) as received,
    count(*) as accepted, 0 as duplicates, 0 as restated, 0 as quarantined, 0 as absent_cells, 0 as outside_span, 0 as ignored,
    now()::timestamp as loaded_at
from days where {chosen} group by venue, trade_date
"""


@pytest.fixture(scope="module")
def built(dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """Per venue, table and way to know an end an asset of its own. Traded from 1 to 10 January, published flat and without volume
    until 29 February, and traded again from 1 to 10 March at five times the price."""
    dbt = dbt_in(tmp_path_factory.mktemp("ends"))
    with dbt.connection() as con:
        apply_ddl(con, load_contract(SCHEMA))
        pairs = [(venue, table) for venue, tables in WHERE.items() for table in tables]
        con.execute(DAYS, [[venue for venue, _ in pairs], [table for _, table in pairs], list(KNOWN_BY)])
        con.execute(INSTRUMENTS)
        for table, columns in TABLES.items():
            # Candles stand beside every table: where a venue states no end, they tell it.
            chosen = f"kind = '{table}'" if table != CA else "not (known_by = 'inferred' and trade_date = '2024-01-10')"
            con.execute(ROWS.format(table=table, columns=columns, chosen=chosen))
            con.execute(LOADS.format(table=table, chosen="true" if table == CA else chosen))
        con.execute(LAST_DAY)
        for table, columns in LATE.items():
            con.execute(
                ROWS.format(table=table, columns=columns, chosen=f"kind = '{table}' and trade_date = '2024-01-10'")
            )
    wanted = [
        f"+{name}" for name in (*sorted(set(FACTS.values())), "dim_instrument", "uncounted_rows_daily", *BY_THE_HOUR)
    ]
    dbt.succeed("build", "--select", *wanted, "--exclude-resource-type", "test", "unit_test")
    return dbt


def test_the_table_of_venues_and_kinds_is_what_the_feeds_bring() -> None:
    found: dict[str, set[str]] = {}
    for name in registry.VENUES:
        kinds = {table for feed in registry.venue(name).feeds for table in feed.tables} & set(TABLES)
        if kinds and name != OF_ALL_VENUES:
            found.setdefault(OF_MODULE.get(name, name), set()).update(kinds)
    for venue, stream in registry.recorded_streams():
        found.setdefault(venue.name, set()).update({*stream.tables} & set(TABLES))
    assert found == {venue: set(tables) for venue, tables in WHERE.items() if venue != "bitmex"}


@pytest.mark.parametrize("table", TABLES)
def test_no_mart_has_a_row_between_an_end_and_the_comeback(built: Dbt, table: str) -> None:
    for way in KNOWN_BY:
        for venue in (venue for venue, tables in WHERE.items() if table in tables):
            ticker = f"{venue}_{way}_{table}".upper()
            found = built.rows(
                "select asset, cast(min(trade_date) as varchar), cast(max(trade_date) as varchar), count(distinct trade_date) "
                f"from marts.{FACTS[table]} where asset in ('{ticker}', '{ticker}.2') group by asset order by asset"
            )
            # The state at the end of the last day is later than the contract's end.
            last = 9 if table == OI else 10
            assert found == [
                (ticker, "2024-01-01", f"2024-01-{last:02}", last),
                (f"{ticker}.2", "2024-03-01", "2024-03-10", 10),
            ], (venue, way)


@pytest.mark.parametrize("table", TABLES)
def test_the_rows_are_kept_and_named(built: Dbt, table: str) -> None:
    named = built.rows(
        f"""select venue, end_known_by, sum(row_count), cast(min(trade_date) as varchar), cast(max(trade_date) as varchar)
        from marts.uncounted_rows_daily
        where table_name = '{table}' and lower(instrument) = venue || '_' || end_known_by || '_{table}'
        group by all order by all"""
    )
    venues = sorted(venue for venue, tables in WHERE.items() if table in tables)
    assert [(venue, way) for venue, way, *_ in named] == [(venue, way) for venue in venues for way in sorted(KNOWN_BY)]
    late = table in (OI, *LATE)
    for _, _, rows, first, last in named:
        assert (rows, first, last) == (50 + late, "2024-01-10" if late else "2024-01-11", "2024-02-29")
    [(kept,)] = built.rows(f"select count(*) from clean.{table} where trade_date between '2024-01-11' and '2024-02-29'")
    assert kept >= 50 * len(venues) * len(KNOWN_BY)


def test_of_the_last_day_only_the_hours_until_the_end_count(built: Dbt) -> None:
    """Ended at eight, by the venue's word or by its last candle with volume. At ten come ratios and liquidations."""
    ratios = built.rows(
        "select count(*), min(long_share), max(long_share) from marts.fct_positioning_daily where trade_date = '2024-01-10'"
    )
    assert ratios == [(sum(LS in tables for tables in WHERE.values()) * len(KNOWN_BY), 0.5, 0.5)]
    for model, column in (
        ("marts.fct_liquidations_daily", "trade_date"),
        ("intermediate.int_liquidations_hourly", "trade_date"),
    ):
        [(largest,)] = built.rows(f"select max(notional_usd) from {model} where {column} = '2024-01-10'")
        assert largest == 2.0, model
    [(placed, largest)] = built.rows(
        "select sum(notional_usd), max(notional_usd) from intermediate.int_liquidation_bins where trade_date = '2024-01-10'"
    )
    [(total,)] = built.rows(
        "select sum(notional_usd) from marts.fct_liquidations_daily where trade_date = '2024-01-10'"
    )
    assert (placed, largest) == (total, 2.0)
    [(minutes,)] = built.rows(
        "select max(notional_usd) from intermediate.int_liquidation_minutes where trade_date = '2024-01-10'"
    )
    assert minutes == 2.0


def test_a_ticker_that_comes_back_is_another_instrument_and_no_return_crosses(built: Dbt) -> None:
    lives = built.rows(
        "select distinct life, cast(valid_to as date)::varchar, end_known_by from marts.dim_instrument order by all"
    )
    assert lives == [(1, "2024-01-11", "inferred"), (1, "2024-01-11", "venue"), (2, "9999-12-31", None)]
    assert built.rows("select max(abs(log_return)) from marts.fct_price_daily") == [(0.0,)]
    assert built.rows("select count(*) from marts.fct_price_daily where is_stale") == [(0,)]
