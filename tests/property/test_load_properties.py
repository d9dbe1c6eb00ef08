"""For any order, overlap and splitting of files, the clean table is the same and the counts add up."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.clean.load import load_source
from pipelines.contract.batch import ParsedBatch, SourceRules
from pipelines.contract.ddl import apply_ddl, load_contract
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import Landing, LandingStore
from pipelines.quality.batch import CheckResult, GateInput

CONTRACT = load_contract(PROJECT_ROOT / "warehouse" / "schema")
Row = tuple[str, int, float]
"""Instrument, hours since 2024-01-01, open interest (negative values violate the contract)."""
File = tuple[str, list[Row]]

rows = st.tuples(st.sampled_from(["BTCUSDT", "ETHUSDT"]), st.integers(0, 60), st.sampled_from([-1.0, 1.0, 2.0, 3.0]))
files = st.tuples(st.sampled_from(["a.csv", "b.csv", "c.csv"]), st.lists(rows, min_size=1, max_size=12))
histories = st.lists(files, min_size=1, max_size=5)


def expected_rows(history: Sequence[File]) -> set[Row]:
    """The load rules in plain Python: current version of each file; a key with conflicting values in a file is dropped; the newest
    file has precedence."""
    newest = {part: (rank, rows) for rank, (part, rows) in enumerate(history)}
    table: dict[tuple[str, int], float] = {}
    for _, content in sorted(newest.values(), key=lambda item: item[0]):
        values: dict[tuple[str, int], set[float]] = {}
        for instrument, hour, value in content:
            if value >= 0:
                values.setdefault((instrument, hour), set()).add(value)
        table |= {key: next(iter(held)) for key, held in values.items() if len(held) == 1}
    return {(instrument, hour, value) for (instrument, hour), value in table.items()}


class InMemoryWarehouse:
    """A landing on disk and a warehouse in memory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = LandingStore(home)
        self.con = duckdb.connect(":memory:", config={"threads": 1})
        apply_ddl(self.con, CONTRACT)
        self.content: dict[str, list[Row]] = {}
        self.clock = datetime(2024, 6, 1)

    def land(self, file: File) -> None:
        part, content = file
        self.clock += timedelta(seconds=1)
        incoming = self.home / "incoming"
        incoming.write_text(f"{self.clock} {file}", encoding="utf-8")
        landing = self.store.land_file(
            incoming, source="files.x", partition="history", part=part, request={}, clock=lambda: self.clock
        )
        self.content[landing.landing_id] = content

    def load(self) -> None:
        load_source(
            lambda: nullcontext(self.con),
            contract=CONTRACT,
            source="files.x",
            store=self.store,
            landings=self.store.all(),
            parse=self._parse,
            rules=SourceRules(),
            gate=_no_gate,
            now=datetime(2024, 7, 1),
        )

    def table(self) -> set[Row]:
        return set(
            self.con.execute(
                "select instrument, datediff('hour', timestamp '2024-01-01', event_at), oi_base from clean.open_interest"
            ).fetchall()
        )

    def ops(self) -> list[tuple[object, ...]]:
        """Current state of partitions, lineage, coverage and quarantine."""
        return self.con.execute(
            """
            select 'load', table_name, cast(trade_date as varchar), received, accepted, duplicates, restated, quarantined
            from ops.loads
            qualify row_number() over (partition by table_name, trade_date order by load_seq desc) = 1
            union all
            select 'lineage', landing_id, cast(trade_date as varchar), received, accepted, null, null, null from ops.lineage
            union all
            select 'coverage ' || status, instrument, cast(trade_date as varchar), expected, present, null, null, null
            from ops.coverage
            union all
            select 'quarantine', landing_id, cast(trade_date as varchar), line, null, null, null, null from ops.quarantine
            order by all
            """
        ).fetchall()

    def _parse(self, landing: Landing) -> Iterator[ParsedBatch]:
        content = self.content[landing.landing_id]
        stamps = [datetime(2024, 1, 1) + timedelta(hours=row[1]) for row in content]
        values = [row[2] for row in content]
        yield ParsedBatch(
            table="open_interest",
            landing_id=landing.landing_id,
            rows=pl.DataFrame(
                {
                    "venue": ["binance"] * len(content),
                    "instrument": [row[0] for row in content],
                    "period": ["1h"] * len(content),
                    "event_at": stamps,
                    "oi_base": values,
                    "oi_raw": values,
                    "oi_raw_unit": ["base"] * len(content),
                    "counting": ["one_sided"] * len(content),
                    "available_at": stamps,
                    "_line": list(range(2, len(content) + 2)),
                    "_field": [None] * len(content),
                },
                schema_overrides={"_field": pl.String},
            ),
        )


def _no_gate(con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
    return []


def _warehouse(folder: str, name: str) -> InMemoryWarehouse:
    home = Path(folder) / name
    home.mkdir()
    return InMemoryWarehouse(home)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories)
def test_loading_file_by_file_equals_loading_all_at_once_and_a_plain_python_implementation(history: list[File]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        incremental, at_once = _warehouse(folder, "incremental"), _warehouse(folder, "at_once")
        for file in history:
            incremental.land(file)
            incremental.load()
            at_once.land(file)
        at_once.load()
        assert incremental.table() == expected_rows(history)
        assert at_once.table() == expected_rows(history)
        # Days that a restated file no longer contains keep a row of zeros in ops.loads; everything else is equal.
        incremental_ops = [row for row in incremental.ops() if not (row[0] == "load" and row[3] == 0)]
        assert incremental_ops == [row for row in at_once.ops() if not (row[0] == "load" and row[3] == 0)]
        incremental.con.close()
        at_once.con.close()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories)
def test_nothing_received_is_lost(history: list[File]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = _warehouse(folder, "warehouse")
        for file in history:
            warehouse.land(file)
        warehouse.load()
        current = dict(history)
        received = sum(len(content) for content in current.values())
        counts = warehouse.con.execute(
            "select sum(received), sum(accepted) + sum(duplicates) + sum(quarantined) from ops.loads"
        ).fetchone()
        held = warehouse.con.execute(
            "select (select count(*) from clean.open_interest) + (select sum(duplicates) from ops.loads) "
            "+ (select count(*) from ops.quarantine)"
        ).fetchone()
        assert counts == (received, received)
        assert held == (received,)
        warehouse.con.close()
