"""Builds of what changed alone: the models chosen are those that read it, and any sequence ends where one full build does."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.core.settings import Settings
from pipelines.operations.build import build_marts, load_parsed
from pipelines.operations.build_report import BuildReport
from pipelines.operations.selection import LEDGER, STATISTICS, Graph, plan
from pipelines.storage.build_inputs import read_notes
from pipelines.storage.database import open_database
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_schemas
from pipelines.storage.warehouse import writer

FIRST = date(2024, 1, 1)
DAYS = 45
ASSETS = 2


@pytest.fixture(scope="module")
def graph(parsed: Path) -> Graph:
    return Graph.of(load_parsed(parsed))


def sources(graph: Graph) -> dict[str, str]:
    return {**graph.sources("clean"), **graph.sources(LEDGER)}


def marked(graph: Graph, *changed: str) -> tuple[dict[str, str], dict[str, str]]:
    """Marks before and now, of which those of the tables `changed` differ."""
    names = sources(graph)
    return dict.fromkeys(names, "1"), {source: "2" if name in changed else "1" for source, name in names.items()}


def reads(graph: Graph, node: str, wanted: set[str]) -> bool:
    """Whether a model reads a source, looked for from the model upwards."""
    parents = graph.manifest.nodes[node].depends_on_nodes if node in graph.manifest.nodes else ()
    return any(parent in wanted or reads(graph, parent, wanted) for parent in parents)


def test_nothing_is_planned_where_no_mark_differs(graph: Graph) -> None:
    found = plan(graph, *marked(graph))
    assert not found.first
    assert not found.changed


@pytest.mark.parametrize("table", ["open_interest", "instruments", "liquidations", "tokens", "option_chain", "candles"])
def test_every_model_that_reads_a_changed_table_is_planned_and_no_other(graph: Graph, table: str) -> None:
    source = {name: one for one, name in graph.sources("clean").items()}[f"clean.{table}"]
    models = {node.unique_id for node in graph.manifest.nodes.values() if node.resource_type == "model"}
    expected = {node for node in models if reads(graph, node, {source})}
    assert plan(graph, *marked(graph, f"clean.{table}")).changed == expected
    assert expected
    assert expected < models


def test_a_table_that_was_not_known_before_counts_as_changed(graph: Graph) -> None:
    before, now = marked(graph)
    [source] = [one for one, name in graph.sources("clean").items() if name == "clean.open_interest"]
    del before[source]
    assert plan(graph, before, now) == plan(graph, *marked(graph, "clean.open_interest"))


def test_of_a_changed_ledger_only_its_readers_are_planned_and_the_rest_follows_their_rows(graph: Graph) -> None:
    found = plan(graph, *marked(graph, "ops.loads", "ops.coverage"))
    names = {node.rpartition(".")[2] for node in found.first}
    assert {"stg_loads", "stg_coverage", "int_source_ranks", "int_calendar", "data_coverage_daily"} <= names
    assert "fct_open_interest_daily" not in names
    assert not found.changed
    ranks = next(node for node in found.first if node.endswith(".int_source_ranks"))
    second = found.second(graph, [ranks])
    assert second == {node for node in graph.downstream([ranks]) if reads(graph, node, {ranks})}
    assert any(node.endswith(".fct_open_interest_daily") for node in second)


def test_a_watermark_makes_no_model_depend_on_every_load(graph: Graph) -> None:
    incremental = {
        node.unique_id for node in graph.manifest.nodes.values() if node.config.materialized == "incremental"
    }
    assert incremental
    assert not incremental & plan(graph, *marked(graph, "ops.loads", "ops.model_watermarks")).first


def test_no_model_reads_the_clock(graph: Graph) -> None:
    """One that does has everything built whenever the day has changed: let it read a day from the warehouse instead."""
    assert not graph.reads_clock()


def test_statistics_are_read_by_models_of_a_second_part(graph: Graph) -> None:
    evidence = graph.evidence()
    assert evidence
    assert evidence == {
        node.unique_id
        for node in graph.manifest.nodes.values()
        if node.resource_type == "model" and reads(graph, node.unique_id, set(graph.sources(STATISTICS)))
    }


class World:
    """A small warehouse whose days are loaded, restated and lost as a loader does it, without a landing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        with self.connection() as con:
            con.execute(
                "insert into clean.instruments by name select 'binance' as venue, 'S' || i || 'USDT' as instrument, "
                "timestamp '1970-01-01' as valid_from, 'S' || i as asset, 'USDT' as quote, 'linear' as contract_type, "
                "1e0 as multiplier, date '1970-01-01' as trade_date, 'files.a' as source, 'l' as landing_id, "
                "timestamp '1970-01-01' as available_at, timestamp '2030-01-01' as loaded_at from range(?) as t(i)",
                [ASSETS],
            )
            self._note(con, "instruments", [date(1970, 1, 1)], ASSETS, "files.a")

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with writer(self.settings, what="test") as con:
            yield con

    def candles(self, day: date, days: int, height: float, source: str = "files.a") -> None:
        self._put("candles", day, days, source, (
            f"'perp' as market, '1d' as period, d as opened_at, {height} + i + 10 * sin(epoch(d) / 864000e0) as close, "
            "1000e0 as volume_base"
        ))  # fmt: skip

    def open_interest(self, day: date, days: int, height: float, source: str = "files.a") -> None:
        self._put("open_interest", day, days, source, (
            f"'1d' as period, d + interval 23 hour as event_at, {height} + 50 * cos(epoch(d) / 86400e0 + i) as oi_base, "
            "5000e0 as oi_raw, 'base' as oi_raw_unit, 'one_sided' as counting"
        ))  # fmt: skip

    def funding(self, day: date, days: int, height: float, source: str = "files.a") -> None:
        self._put("funding_rates", day, days, source, (
            f"'settled' as kind, d as settled_at, {height} / 1e6 as rate, 24e0 as interval_hours"
        ))  # fmt: skip

    def liquidations(self, day: date, days: int, height: float, source: str = "files.a") -> None:
        self._put("liquidations", day, days, source, (
            "'x' || i || d as liquidation_id, 'cex' as venue_kind, d + interval 5 hour as occurred_at, 'long' as side, "
            f"100e0 as price, {height} as quantity_base, 100 * {height} as notional_usd, 'full' as completeness, false as is_adl"
        ))  # fmt: skip

    def lose(self, table: str, day: date) -> None:
        """A day whose landing was forgotten."""
        with self.connection() as con:
            con.execute(f"delete from clean.{table} where trade_date = ?", [day])
            self._note(con, table, [day], 0, "files.a")

    def _put(self, table: str, first: date, days: int, source: str, columns: str) -> None:
        with self.connection() as con:
            last = first + timedelta(days=days - 1)
            con.execute(
                f"delete from clean.{table} where source = ? and trade_date between ? and ?", [source, first, last]
            )
            con.execute(
                f"insert into clean.{table} by name with days as (select timestamp '{first}' + t.d * interval 1 day as d, i "
                f"from range({days}) as t(d), range({ASSETS}) as s(i)) select 'binance' as venue, 'S' || i || 'USDT' as "
                f"instrument, {columns}, cast(d as date) as trade_date, '{source}' as source, 'l' as landing_id, "
                "d + interval 30 hour as available_at, timestamp '2030-01-01' as loaded_at from days"
            )
            named = [first + timedelta(days=number) for number in range(days)]
            self._note(con, table, named, ASSETS, source)
            con.executemany("delete from ops.coverage where source = ? and table_name = ? and trade_date = ?",
                            [[source, table, one] for one in named])  # fmt: skip
            con.executemany(
                "insert into ops.coverage select ?, ?, 'binance', 'S' || i || 'USDT', '1d', ?, 1, 1, 0, 'complete', null, null, "
                "null from range(?) as t(i)",
                [[source, table, one, ASSETS] for one in named],
            )

    def _note(self, con: duckdb.DuckDBPyConnection, table: str, days: list[date], rows: int, source: str) -> None:
        [(seq,)] = con.execute("select coalesce(max(load_seq), 0) + 1 from ops.loads").fetchall()
        con.executemany(
            "insert into ops.loads values (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, null, timestamp '2030-01-01', null, null, null)",
            [[seq, source, table, day, rows, rows] for day in days],
        )


def built(report: BuildReport) -> set[str]:
    report.raise_faults()
    return {node.name for node in report.models}


def changes(world: World, chance: random.Random) -> None:
    """One load: a new day, a restated one, a lost one, or another source."""
    kinds: list[Callable[..., None]] = [world.candles, world.open_interest, world.funding, world.liquidations]
    day = FIRST + timedelta(days=chance.randrange(DAYS + 2))
    kind = chance.choice(["put", "put", "put", "lose", "other source"])
    if kind == "lose":
        world.lose(chance.choice(["candles", "open_interest", "funding_rates"]), day)
    else:
        put = chance.choice(kinds)
        put(day, chance.randrange(1, 4), 90.0 + chance.randrange(9), "files.a" if kind == "put" else "okx.candles")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_partial_builds_in_any_order_end_where_one_full_build_does(
    settings: Settings, spare_parsing: Callable[[Settings], None]
) -> None:
    spare_parsing(settings)
    world = World(settings)
    for put, height in ((world.candles, 100.0), (world.open_interest, 5000.0), (world.funding, 100.0)):
        put(FIRST, DAYS, height)
    everything = built(build_marts(settings, only_changed=True))
    assert len(everything) > 100

    assert not built(build_marts(settings, only_changed=True)), "nothing was loaded, and something was built"

    world.open_interest(FIRST + timedelta(days=DAYS), 1, 5000.0)
    day = built(build_marts(settings, only_changed=True))
    assert "fct_open_interest_daily" in day
    assert not {"int_lending_legs_by_source", "int_option_chain_by_source", "int_candles_by_source"} & day
    print(f"one day of open interest: {len(day)} of {len(everything)} models")

    chance = random.Random(20241130)
    for _ in range(4):
        for _ in range(chance.randrange(1, 3)):
            changes(world, chance)
        built(build_marts(settings, only_changed=True))
    partial = prints(settings)
    assert built(build_marts(settings)) == everything
    assert compare(partial, prints(settings)) == []


def prints(settings: Settings) -> dict[str, Fingerprint]:
    con = open_database(settings)
    try:
        assert read_notes(con).is_complete
        return fingerprint_schemas(con, "intermediate", "marts", "stats")
    finally:
        con.close()
