"""The loader: accepted and quarantined rows, restated files, coverage, and counts that add up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.clean import stage
from pipelines.clean.load import LoadReport, find_work, load_source
from pipelines.contract.batch import (
    NULL_CELLS_SCHEMA,
    REJECT_SCHEMA,
    Captures,
    CoverageSpan,
    KnownGap,
    ParsedBatch,
    SourceRules,
    no_rejects,
)
from pipelines.contract.ddl import Contract, apply_ddl, load_contract
from pipelines.contract.versions import MadeBy
from pipelines.core.errors import WarehouseDamagedError
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import Landing, LandingStore
from pipelines.quality.batch import CheckResult, GateInput

SOURCE = "files.example"
NOW = datetime(2024, 2, 1)


class LoaderFixture:
    """A warehouse in memory and a landing on disk, with hand-written frames instead of parsed files."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.contract: Contract = load_contract(PROJECT_ROOT / "warehouse" / "schema")
        self.con = duckdb.connect(":memory:")
        apply_ddl(self.con, self.contract)
        self.store = LandingStore(home)
        self.frames: dict[str, list[ParsedBatch]] = {}
        self.rules = SourceRules()
        self.refuse: set[float] = set()
        """Values of oi_base with which the gate refuses a batch."""
        self.reader_version = "1"
        self.parser_version: int | None = None
        self.clock = datetime(2024, 1, 1)

    def land(self, part: str, *batches: Mapping[str, Any], partition: str = "history") -> Landing:
        """Land a file named `part` that parses to these batches (arguments of ParsedBatch without landing_id)."""
        self.clock += timedelta(minutes=1)
        file = self.home / "incoming.bin"
        file.write_text(f"{part} {self.clock}", encoding="utf-8")
        landing = self.store.land_file(
            file, source=SOURCE, partition=partition, part=part, request={}, clock=lambda: self.clock
        )
        self.frames[landing.landing_id] = [ParsedBatch(landing_id=landing.landing_id, **batch) for batch in batches]
        return landing

    def load(self) -> LoadReport:
        return load_source(
            lambda: nullcontext(self.con),
            contract=self.contract,
            source=SOURCE,
            store=self.store,
            landings=self.store.all(),
            parse=self._parse,
            rules=self.rules,
            gate=self._gate,
            now=NOW,
            reader_version=self.reader_version,
            made_by=MadeBy("0.1.0+abc", "0.1", self.parser_version),
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.con.execute(sql).fetchall()

    def _parse(self, landing: Landing) -> Iterator[ParsedBatch]:
        yield from self.frames[landing.landing_id]

    def _gate(self, con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
        results = []
        for batch in inputs:
            bad = self._bad(con, batch.staged)
            results.append(CheckResult(batch.table, "refuse", "error", not bad, {"bad": len(bad)}, [*bad]))
        return results

    def _bad(self, con: duckdb.DuckDBPyConnection, staged: str) -> list[float]:
        if not self.refuse:
            return []
        sql = f"select oi_base from {staged} where oi_base in (select unnest(?)) order by 1"
        return [value for (value,) in con.execute(sql, [list(self.refuse)]).fetchall()]


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[LoaderFixture]:
    loader = LoaderFixture(tmp_path)
    yield loader
    loader.con.close()


def oi(*rows: tuple[str, str, float | None], start_line: int = 2) -> dict[str, Any]:
    """Open interest of (instrument, event_at, oi_base)."""
    frame = pl.DataFrame(
        {
            "venue": ["binance"] * len(rows),
            "instrument": [r[0] for r in rows],
            "period": ["1d"] * len(rows),
            "event_at": [datetime.fromisoformat(r[1]) for r in rows],
            "oi_base": [r[2] for r in rows],
            "oi_raw": [r[2] for r in rows],
            "oi_raw_unit": ["base"] * len(rows),
            "counting": ["one_sided"] * len(rows),
            "available_at": [datetime.fromisoformat(r[1]) for r in rows],
            "_line": list(range(start_line, start_line + len(rows))),
            "_field": [None] * len(rows),
        },
        schema_overrides={
            "event_at": pl.Datetime("us"),
            "available_at": pl.Datetime("us"),
            "oi_base": pl.Float64,
            "oi_raw": pl.Float64,
            "_line": pl.Int64,
            "_field": pl.String,
        },
    )
    return {"table": "open_interest", "rows": frame}


def clean_rows(loader: LoaderFixture) -> list[tuple[Any, ...]]:
    return loader.rows("select instrument, trade_date, oi_base from clean.open_interest order by all")


def test_state_at_midnight_belongs_to_the_day_before(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-03 00:00", 5.0), ("BTCUSDT", "2024-01-03 00:05", 6.0)))
    loader.load()
    assert clean_rows(loader) == [("BTCUSDT", date(2024, 1, 2), 5.0), ("BTCUSDT", date(2024, 1, 3), 6.0)]


def test_equal_rows_of_one_key_are_counted_as_duplicates(loader: LoaderFixture) -> None:
    loader.land(
        "a.csv", oi(("BTCUSDT", "2024-01-03", 5.0), ("BTCUSDT", "2024-01-03", 5.0), ("ETHUSDT", "2024-01-03", 7.0))
    )
    report = loader.load()
    (table,) = report.tables
    assert (table.received, table.accepted, table.duplicates, table.restated, table.quarantined) == (3, 2, 1, 0, 0)
    assert len(clean_rows(loader)) == 2


def test_all_rows_of_a_key_with_conflicting_values_in_one_file_are_quarantined(loader: LoaderFixture) -> None:
    loader.land(
        "a.csv", oi(("BTCUSDT", "2024-01-03", 5.0), ("BTCUSDT", "2024-01-03", 6.0), ("ETHUSDT", "2024-01-03", 7.0))
    )
    report = loader.load()
    assert (report.tables[0].received, report.tables[0].accepted, report.tables[0].quarantined) == (3, 1, 2)
    assert loader.rows("select line, reason, instrument from ops.quarantine order by line") == [
        (2, "conflicting_duplicate", "BTCUSDT"),
        (3, "conflicting_duplicate", "BTCUSDT"),
    ]
    assert clean_rows(loader) == [("ETHUSDT", date(2024, 1, 2), 7.0)]


def test_the_newest_landing_overrides_an_older_one_and_the_replaced_row_is_counted(loader: LoaderFixture) -> None:
    loader.land("january.csv", oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-01-31", 1.0)))
    loader.land("february.csv", oi(("BTCUSDT", "2024-01-31", 6.0), ("BTCUSDT", "2024-02-01", 7.0)))
    report = loader.load()
    assert [row[2] for row in clean_rows(loader)] == [5.0, 6.0, 7.0]
    assert (report.tables[0].duplicates, report.tables[0].restated) == (1, 1)


def test_an_overlapping_file_imported_later_gives_the_same_tables_as_both_at_once(
    loader: LoaderFixture, tmp_path: Path
) -> None:
    first = oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-01-31", 1.0))
    second = oi(("BTCUSDT", "2024-01-31", 6.0), ("BTCUSDT", "2024-02-01", 7.0))
    loader.land("january.csv", first)
    loader.load()
    loader.land("february.csv", second)
    loader.load()
    together = LoaderFixture(tmp_path / "together")
    together.home.mkdir()
    together.land("january.csv", first)
    together.land("february.csv", second)
    together.load()
    assert clean_rows(loader) == clean_rows(together)
    lineage = "select trade_date, received, accepted from ops.lineage order by all"
    assert loader.rows(lineage) == together.rows(lineage)
    assert loader.rows(_LATEST) == together.rows(_LATEST)
    together.con.close()


def test_a_restated_file_replaces_its_days_and_removes_days_it_no_longer_contains(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-01-31", 6.0)))
    loader.load()
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.5)))
    loader.load()
    assert clean_rows(loader) == [("BTCUSDT", date(2024, 1, 29), 5.5)]
    assert loader.rows("select version, is_current from ops.landings order by 1") == [(1, False), (2, True)]


def test_an_overridden_row_returns_when_the_newer_file_is_restated_without_it(loader: LoaderFixture) -> None:
    loader.land("old.csv", oi(("BTCUSDT", "2024-01-31", 1.0)))
    loader.land("new.csv", oi(("BTCUSDT", "2024-01-31", 2.0)))
    loader.load()
    assert [row[2] for row in clean_rows(loader)] == [2.0]
    loader.land("new.csv", oi(("BTCUSDT", "2024-03-01", 3.0)))
    loader.load()
    assert [row[2] for row in clean_rows(loader)] == [1.0, 3.0]


def test_loading_again_without_news_does_nothing(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0)))
    assert loader.load().landings == 1
    again = loader.load()
    assert (again.tables, again.landings) == ((), 0)
    assert find_work(loader.con, SOURCE, loader.store.all()).is_empty


def test_rows_that_violate_the_contract_are_quarantined_with_the_violated_rule(loader: LoaderFixture) -> None:
    loader.land(
        "a.csv", oi(("BTCUSDT", "2024-01-30", -5.0), ("BTCUSDT", "2024-01-31", float("inf")), ("", "2024-02-01", 1.0))
    )
    report = loader.load()
    assert report.tables[0].quarantined == 3
    rows = loader.rows("select line, reason, detail, raw from ops.quarantine order by line")
    assert [row[1] for row in rows] == ["contract"] * 3
    assert "oi_base >= 0" in rows[0][2]
    assert "isfinite(oi_base)" in rows[1][2]
    assert '"oi_base":-5.0' in rows[0][3]


def test_rejects_of_the_parser_count_as_received_even_without_a_day(loader: LoaderFixture) -> None:
    rejects = pl.DataFrame(
        [
            {"trade_date": date(2024, 1, 30), "line": 3, "field": "oi", "instrument": "BTCUSDT", "reason": "unparsable",
             "detail": "oi is 'n/a'", "raw": "{}"},
            {"trade_date": None, "line": 4, "field": "t", "instrument": None, "reason": "unparsable", "detail": "t is 'x'",
             "raw": "{}"},
        ],
        schema=REJECT_SCHEMA,
    )  # fmt: skip
    loader.land("a.csv", {**oi(("BTCUSDT", "2024-01-30", 5.0)), "rejects": rejects})
    report = loader.load()
    assert (report.tables[0].received, report.tables[0].accepted, report.tables[0].quarantined) == (3, 1, 2)
    assert loader.rows("select trade_date, received, quarantined from ops.loads order by trade_date nulls last") == [
        (date(2024, 1, 29), 1, 0),
        (date(2024, 1, 30), 1, 1),
        (None, 1, 1),
    ]


def test_a_landing_that_the_gate_refuses_leaves_the_tables_as_they_were_and_records_why(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0)))
    loader.load()
    before = clean_rows(loader)
    landing = loader.land("b.csv", oi(("BTCUSDT", "2024-01-31", 6.0)))
    loader.refuse = {6.0}
    [refusal] = loader.load().refused
    assert (refusal.landing_id, refusal.reason, refusal.sample) == (landing.landing_id, "gate", ("6.0",))
    assert refusal.detail == "open_interest.refuse: {'bad': 1}"
    assert clean_rows(loader) == before
    assert loader.rows("select load_seq, passed from ops.check_results order by 1") == [(1, True), (2, False)]


def test_a_table_with_other_rules_than_the_contract_is_no_defect_of_the_batch(loader: LoaderFixture) -> None:
    ddl = loader.rows("select sql from duckdb_tables() where table_name = 'open_interest'")[0][0]
    loader.con.execute("drop table clean.open_interest")
    loader.con.execute(ddl.replace("'1d'", "'2d'"))
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0)))
    with pytest.raises(WarehouseDamagedError, match=r"clean\.open_interest has other.*rebuild"):
        loader.load()
    assert loader.rows("select count(*) from ops.loads") == [(0,)]


def test_a_frame_that_does_not_match_the_contract_is_an_error_that_names_the_columns(loader: LoaderFixture) -> None:
    batch = oi(("BTCUSDT", "2024-01-30", 5.0))
    loader.land("a.csv", {**batch, "rows": batch["rows"].drop("venue").with_columns(extra=pl.lit(1))})
    [refusal] = loader.load().refused
    assert refusal.reason == "contract"
    assert re.search("extra.*venue", refusal.detail)


def test_gaps_have_a_reason(loader: LoaderFixture) -> None:
    null_cells = pl.DataFrame(
        [{"trade_date": date(2024, 1, 30), "instrument": "BTCUSDT", "cells": 1}], schema=NULL_CELLS_SCHEMA
    )
    loader.rules = SourceRules(
        gaps=(KnownGap("open_interest", date(2024, 2, 1), date(2024, 2, 1), "the vendor was down"),)
    )
    loader.land(
        "a.csv",
        {
            **oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-02-04", 6.0), ("ETHUSDT", "2024-01-31", 1.0)),
            "null_cells": null_cells,
        },
    )
    loader.load()
    assert loader.rows(
        "select trade_date, expected, present, status, reason, detail from ops.coverage where instrument = 'BTCUSDT' order by 1"
    ) == [
        (date(2024, 1, 29), 1, 1, "complete", None, None),
        (date(2024, 1, 30), None, 0, "missing", "not in the source", "empty in the source"),
        (date(2024, 1, 31), None, 0, "missing", "not in the source", None),
        (date(2024, 2, 1), None, 0, "missing", "not in the source", "the vendor was down"),
        (date(2024, 2, 2), None, 0, "missing", "not in the source", None),
        (date(2024, 2, 3), 1, 1, "complete", None, None),
    ]


def test_a_gap_that_is_filled_later_is_no_longer_a_gap(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-02-01", 6.0)))
    loader.load()
    loader.land("b.csv", oi(("BTCUSDT", "2024-01-31", 5.5)))
    loader.load()
    assert loader.rows("select count(*), count(distinct trade_date) from ops.coverage") == [(3, 3)]
    assert loader.rows("select distinct status from ops.coverage") == [("complete",)]


def test_days_without_events_in_a_declared_span_are_empty_and_not_missing(loader: LoaderFixture) -> None:
    loader.rules = SourceRules(spans=(CoverageSpan("liquidations", "binance", date(2024, 1, 1), date(2024, 1, 3)),))
    rows = pl.DataFrame(
        {
            "venue": ["binance"],
            "liquidation_id": ["x"],
            "venue_kind": ["cex"],
            "instrument": ["BTCUSDT"],
            "occurred_at": [datetime(2024, 1, 2, 12)],
            "side": ["long"],
            "price": [100.0],
            "quantity_base": [1.0],
            "notional_usd": [100.0],
            "completeness": ["full"],
            "is_adl": [False],
            "available_at": [datetime(2024, 1, 2, 12)],
            "_line": [2],
            "_field": [None],
        },
        schema_overrides={"_field": pl.String},
    )
    loader.land("a.csv", {"table": "liquidations", "rows": rows, "rejects": no_rejects()})
    loader.load()
    assert loader.rows("select trade_date, present, status from ops.coverage order by 1") == [
        (date(2024, 1, 1), 0, "empty"),
        (date(2024, 1, 2), 1, "complete"),
        (date(2024, 1, 3), 0, "empty"),
    ]


def test_an_instrument_without_a_row_in_a_declared_span_of_totals_had_no_liquidations(loader: LoaderFixture) -> None:
    loader.rules = SourceRules(
        spans=(CoverageSpan("liquidation_totals", "hyperliquid", date(2024, 1, 1), date(2024, 1, 31)),),
        gaps=(KnownGap("liquidation_totals", date(2024, 1, 3), date(2024, 1, 3), "missing in the file"),),
    )
    days = [datetime(2024, 1, 1), datetime(2024, 1, 4)]
    rows = pl.DataFrame(
        {
            "venue": ["hyperliquid"] * 2,
            "instrument": ["kPEPE"] * 2,
            "measure": ["position_notional"] * 2,
            "period": ["1d"] * 2,
            "event_at": days,
            "total_usd": [5.0, 6.0],
            "completeness": ["full"] * 2,
            "available_at": days,
            "_line": [1, 2],
            "_field": [None, None],
        },
        schema_overrides={"_field": pl.String},
    )
    loader.land("a.json", {"table": "liquidation_totals", "rows": rows})
    loader.load()
    assert loader.rows("select trade_date, status, detail from ops.coverage order by 1") == [
        (date(2024, 1, 1), "complete", None),
        (date(2024, 1, 2), "empty", None),
        (date(2024, 1, 3), "missing", "missing in the file"),
        (date(2024, 1, 4), "complete", None),
    ]


def hours(day: int, first: int, last: int, *, without: Sequence[int] = ()) -> list[datetime]:
    """The slots of a day of January 2024 from the hour `first` through `last`."""
    return [datetime(2024, 1, day, hour) for hour in range(first, last + 1) if hour not in without]


def capture(loader: LoaderFixture, *slots: datetime, instruments: Sequence[str] = ("BTCUSDT",)) -> None:
    """Land and load open interest five minutes after the start of each slot."""
    before = loader.rules.captures.slots if loader.rules.captures else frozenset()
    loader.rules = SourceRules(captures=Captures(1, before | frozenset(slots)))
    for slot in slots:
        batch = oi(*((name, f"{slot + timedelta(minutes=5)}", 5.0) for name in instruments))
        batch["rows"] = batch["rows"].with_columns(pl.lit("snapshot").alias("period"))
        loader.land(f"{slot:%H%M}", batch, partition=f"{slot:%Y-%m-%d}")
    loader.load()


def coverage(loader: LoaderFixture, instrument: str = "BTCUSDT") -> list[tuple[Any, ...]]:
    return loader.rows(
        "select day(trade_date), expected, present, status, coalesce(detail, reason) from ops.coverage "
        f"where instrument = '{instrument}' order by trade_date"
    )


def test_a_day_of_captures_is_complete_only_with_every_slot(loader: LoaderFixture) -> None:
    lost = hours(3, 0, 23, without=[7])
    capture(loader, *hours(1, 14, 23), *hours(2, 0, 23), *lost, *hours(5, 0, 1))
    assert coverage(loader) == [
        (1, 24, 10, "partial", "captured 10 of 24 slots"),
        (2, 24, 24, "complete", None),
        (3, 24, 23, "partial", "captured 23 of 24 slots"),
        (4, 24, 0, "missing", "captured 0 of 24 slots"),
        (5, 2, 2, "complete", None),
    ]


def test_the_newest_day_of_captures_is_compared_with_a_full_day_once_it_is_over(loader: LoaderFixture) -> None:
    capture(loader, *hours(1, 0, 23), *hours(2, 0, 4, without=[3]))
    assert coverage(loader)[1:] == [(2, 5, 4, "partial", "captured 4 of 5 slots")]
    capture(loader, *hours(2, 5, 20))
    assert coverage(loader)[1:] == [(2, 21, 20, "partial", "captured 20 of 21 slots")]
    # This load has no rows of the second day.
    capture(loader, *hours(3, 0, 0))
    assert coverage(loader)[1:] == [(2, 24, 20, "partial", "captured 20 of 24 slots"), (3, 1, 1, "complete", None)]


def test_an_instrument_missing_from_some_slots_is_partial(loader: LoaderFixture) -> None:
    capture(loader, *hours(1, 0, 11), instruments=["BTCUSDT", "ETHUSDT"])
    capture(loader, *hours(1, 12, 23))
    assert coverage(loader) == [(1, 24, 24, "complete", None)]
    assert coverage(loader, "ETHUSDT") == [(1, 24, 12, "partial", "not in the source")]


_LATEST = """
select trade_date, received, accepted, duplicates, restated, quarantined from ops.loads
qualify row_number() over (partition by source, table_name, trade_date order by load_seq desc) = 1
order by trade_date
"""


def test_a_constant_text_column_is_loaded_unchanged(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("O'NE", "2024-01-01 00:05", 1.0), ("O'NE", "2024-01-01 00:10", 2.0)))
    loader.load()
    assert {row[0] for row in clean_rows(loader)} == {"O'NE"}


def test_a_text_column_that_is_constant_within_each_file_keeps_the_value_of_the_file(loader: LoaderFixture) -> None:
    a = loader.land("a.csv", oi(("AUSDT", "2024-01-01 00:05", 1.0)))
    b = loader.land("b.csv", oi(("BUSDT", "2024-01-01 00:05", 2.0)))
    loader.load()
    assert loader.rows("select instrument, landing_id from clean.open_interest order by all") == [
        ("AUSDT", a.landing_id),
        ("BUSDT", b.landing_id),
    ]


def test_a_required_text_column_without_values_quarantines_every_row(loader: LoaderFixture) -> None:
    batch = oi(("BTCUSDT", "2024-01-01 00:05", 1.0), ("BTCUSDT", "2024-01-01 00:10", 2.0))
    batch["rows"] = batch["rows"].with_columns(pl.lit(None, pl.String).alias("venue"))
    loader.land("a.csv", batch)
    loader.load()
    assert clean_rows(loader) == []
    assert loader.rows("select reason, detail from ops.quarantine") == [("contract", "venue is null")] * 2


def test_duplicate_keys_are_found_across_passes(loader: LoaderFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "STAGE_ROWS_PER_PASS", 2)
    stamps = [f"2024-01-0{day} 00:05" for day in range(1, 6)]
    loader.land("old.csv", oi(*(("BTCUSDT", stamp, 1.0) for stamp in stamps)))
    loader.land("new.csv", oi(*(("BTCUSDT", stamp, 2.0) for stamp in stamps)))
    report = loader.load()
    assert [row[2] for row in clean_rows(loader)] == [2.0] * 5
    assert (report.tables[0].received, report.tables[0].accepted, report.tables[0].restated) == (10, 5, 5)
