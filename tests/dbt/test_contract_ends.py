"""Contracts end at every venue and in every table: rows after the end are in no mart, and the ticker that comes back is another."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipelines.contract.ddl import apply_ddl, load_contract
from tests.dbt.dbt_fixture import SCHEMA, Dbt, DbtIn

VENUES = (
    "binance",
    "bitfinex",
    "bybit",
    "deribit",
    "dydx",
    "gate",
    "hyperliquid",
    "kraken",
    "okx",
    "orderly",
)
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

DAYS = """
create temp table days as
with tickers as (
    select venue, known_by, kind, upper(venue || '_' || known_by || '_' || kind) as instrument
    from (select unnest($1) as venue), (select unnest($2) as known_by), (select unnest($3) as kind)
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
        con.execute(DAYS, [list(VENUES), list(KNOWN_BY), list(TABLES)])
        con.execute(INSTRUMENTS)
        for table, columns in TABLES.items():
            # Candles stand beside every table: where a venue states no end, they tell it.
            chosen = f"kind = '{table}'" if table != "candles" else "true"
            con.execute(ROWS.format(table=table, columns=columns, chosen=chosen))
            con.execute(LOADS.format(table=table, chosen=chosen))
    wanted = [f"+{name}" for name in (*sorted(set(FACTS.values())), "dim_instrument", "uncounted_rows_daily")]
    dbt.succeed("build", "--select", *wanted, "--exclude-resource-type", "test", "unit_test")
    return dbt


@pytest.mark.parametrize("table", TABLES)
def test_no_mart_has_a_row_between_an_end_and_the_comeback(built: Dbt, table: str) -> None:
    for way in KNOWN_BY:
        for venue in VENUES:
            ticker = f"{venue}_{way}_{table}".upper()
            found = built.rows(
                "select asset, cast(min(trade_date) as varchar), cast(max(trade_date) as varchar), count(distinct trade_date) "
                f"from marts.{FACTS[table]} where asset in ('{ticker}', '{ticker}.2') group by asset order by asset"
            )
            # The state at the end of the last day is later than the contract's end, where the venue names the hour.
            last = 9 if table == "open_interest" and way == "venue" else 10
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
    assert [(venue, way) for venue, way, *_ in named] == [(venue, way) for venue in VENUES for way in sorted(KNOWN_BY)]
    for _, way, rows, first, last in named:
        late = table == "open_interest" and way == "venue"
        assert (rows, first, last) == (50 + late, "2024-01-10" if late else "2024-01-11", "2024-02-29")
    [(kept,)] = built.rows(f"select count(*) from clean.{table} where trade_date between '2024-01-11' and '2024-02-29'")
    assert kept >= 50 * len(VENUES) * len(KNOWN_BY)


def test_a_ticker_that_comes_back_is_another_instrument_and_no_return_crosses(built: Dbt) -> None:
    lives = built.rows(
        "select distinct life, cast(valid_to as date)::varchar, end_known_by from marts.dim_instrument order by all"
    )
    assert lives == [(1, "2024-01-11", "inferred"), (1, "2024-01-11", "venue"), (2, "9999-12-31", None)]
    assert built.rows("select max(abs(log_return)) from marts.fct_price_daily") == [(0.0,)]
    assert built.rows("select count(*) from marts.fct_price_daily where is_stale") == [(0,)]
