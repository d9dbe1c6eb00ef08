"""The loader: what is accepted, what is quarantined, what a restated file changes, and that the counts always add up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from pipelines.core.errors import ContractError, GateError, WarehouseDamagedError
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import Landing, LandingStore
from pipelines.quality.batch import CheckResult, GateInput

SOURCE = "files.example"
NOW = datetime(2024, 2, 1)


class Desk:
    """A warehouse in memory and a landing on disk, fed with hand-written frames instead of parsed files."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.contract: Contract = load_contract(PROJECT_ROOT / "warehouse" / "schema")
        self.con = duckdb.connect(":memory:")
        apply_ddl(self.con, self.contract)
        self.store = LandingStore(home)
        self.frames: dict[str, list[ParsedBatch]] = {}
        self.rules = SourceRules()
        self.refuse = False
        self.clock = datetime(2024, 1, 1)

    def land(self, part: str, *batches: Mapping[str, Any], partition: str = "history") -> Landing:
        """Land a file named `part` whose parse gives these batches (arguments of ParsedBatch without landing_id)."""
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
            self.con,
            contract=self.contract,
            source=SOURCE,
            landings=self.store.all(),
            parse=self._parse,
            rules=self.rules,
            gate=self._gate,
            now=NOW,
            home=self.home,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.con.execute(sql).fetchall()

    def _parse(self, landing: Landing) -> Iterator[ParsedBatch]:
        yield from self.frames[landing.landing_id]

    def _gate(self, con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
        return [
            CheckResult(
                table=i.table, check_name="refuse", severity="error", passed=not self.refuse, observed={}, sample=[]
            )
            for i in inputs
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.con.close()


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


def held(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.rows("select instrument, trade_date, oi_base from clean.open_interest order by all")


def test_state_at_midnight_belongs_to_the_day_before(desk: Desk) -> None:
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-03 00:00", 5.0), ("BTCUSDT", "2024-01-03 00:05", 6.0)))
    desk.load()
    assert held(desk) == [("BTCUSDT", date(2024, 1, 2), 5.0), ("BTCUSDT", date(2024, 1, 3), 6.0)]


def test_equal_rows_of_one_key_are_counted_as_duplicates(desk: Desk) -> None:
    desk.land(
        "a.csv", oi(("BTCUSDT", "2024-01-03", 5.0), ("BTCUSDT", "2024-01-03", 5.0), ("ETHUSDT", "2024-01-03", 7.0))
    )
    report = desk.load()
    (table,) = report.tables
    assert (table.received, table.accepted, table.duplicates, table.restated, table.quarantined) == (3, 2, 1, 0, 0)
    assert len(held(desk)) == 2


def test_a_key_that_contradicts_itself_inside_one_file_is_quarantined_whole(desk: Desk) -> None:
    desk.land(
        "a.csv", oi(("BTCUSDT", "2024-01-03", 5.0), ("BTCUSDT", "2024-01-03", 6.0), ("ETHUSDT", "2024-01-03", 7.0))
    )
    report = desk.load()
    assert (report.tables[0].received, report.tables[0].accepted, report.tables[0].quarantined) == (3, 1, 2)
    assert desk.rows("select line, reason, instrument from ops.quarantine order by line") == [
        (2, "conflicting_duplicate", "BTCUSDT"),
        (3, "conflicting_duplicate", "BTCUSDT"),
    ]
    assert held(desk) == [("ETHUSDT", date(2024, 1, 2), 7.0)]


def test_the_newest_landing_wins_over_an_older_one_and_the_loser_is_counted(desk: Desk) -> None:
    desk.land("january.csv", oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-01-31", 1.0)))
    desk.land("february.csv", oi(("BTCUSDT", "2024-01-31", 6.0), ("BTCUSDT", "2024-02-01", 7.0)))
    report = desk.load()
    assert [row[2] for row in held(desk)] == [5.0, 6.0, 7.0]
    assert (report.tables[0].duplicates, report.tables[0].restated) == (1, 1)


def test_an_overlapping_file_imported_later_gives_the_same_tables_as_both_at_once(desk: Desk, tmp_path: Path) -> None:
    first = oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-01-31", 1.0))
    second = oi(("BTCUSDT", "2024-01-31", 6.0), ("BTCUSDT", "2024-02-01", 7.0))
    desk.land("january.csv", first)
    desk.load()
    desk.land("february.csv", second)
    desk.load()
    together = Desk(tmp_path / "together")
    together.home.mkdir()
    together.land("january.csv", first)
    together.land("february.csv", second)
    together.load()
    assert held(desk) == held(together)
    lineage = "select trade_date, received, accepted from ops.lineage order by all"
    assert desk.rows(lineage) == together.rows(lineage)
    assert desk.rows(_LATEST) == together.rows(_LATEST)
    together.con.close()


def test_a_restated_file_replaces_its_days_and_days_it_no_longer_holds_disappear(desk: Desk) -> None:
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-01-31", 6.0)))
    desk.load()
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.5)))
    desk.load()
    assert held(desk) == [("BTCUSDT", date(2024, 1, 29), 5.5)]
    assert desk.rows("select version, is_current from ops.landings order by 1") == [(1, False), (2, True)]


def test_a_row_hidden_by_a_newer_file_comes_back_when_that_file_is_restated_without_it(desk: Desk) -> None:
    desk.land("old.csv", oi(("BTCUSDT", "2024-01-31", 1.0)))
    desk.land("new.csv", oi(("BTCUSDT", "2024-01-31", 2.0)))
    desk.load()
    assert [row[2] for row in held(desk)] == [2.0]
    desk.land("new.csv", oi(("BTCUSDT", "2024-03-01", 3.0)))
    desk.load()
    assert [row[2] for row in held(desk)] == [1.0, 3.0]


def test_loading_again_without_news_does_nothing(desk: Desk) -> None:
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0)))
    assert desk.load().load_seq == 1
    again = desk.load()
    assert (again.load_seq, again.landings) == (None, 0)
    assert find_work(desk.con, SOURCE, desk.store.all()).is_empty


def test_rows_that_break_the_contract_are_kept_whole_with_the_rule_they_break(desk: Desk) -> None:
    desk.land(
        "a.csv", oi(("BTCUSDT", "2024-01-30", -5.0), ("BTCUSDT", "2024-01-31", float("inf")), ("", "2024-02-01", 1.0))
    )
    report = desk.load()
    assert report.tables[0].quarantined == 3
    rows = desk.rows("select line, reason, detail, raw from ops.quarantine order by line")
    assert [row[1] for row in rows] == ["contract"] * 3
    assert "oi_base >= 0" in rows[0][2]
    assert "isfinite(oi_base)" in rows[1][2]
    assert '"oi_base":-5.0' in rows[0][3]


def test_rejects_of_the_parser_count_as_received_even_without_a_day(desk: Desk) -> None:
    rejects = pl.DataFrame(
        [
            {"trade_date": date(2024, 1, 30), "line": 3, "field": "oi", "instrument": "BTCUSDT", "reason": "unparsable",
             "detail": "oi is 'n/a'", "raw": "{}"},
            {"trade_date": None, "line": 4, "field": "t", "instrument": None, "reason": "unparsable", "detail": "t is 'x'",
             "raw": "{}"},
        ],
        schema=REJECT_SCHEMA,
    )  # fmt: skip
    desk.land("a.csv", {**oi(("BTCUSDT", "2024-01-30", 5.0)), "rejects": rejects})
    report = desk.load()
    assert (report.tables[0].received, report.tables[0].accepted, report.tables[0].quarantined) == (3, 1, 2)
    assert desk.rows("select trade_date, received, quarantined from ops.loads order by trade_date nulls last") == [
        (date(2024, 1, 29), 1, 0),
        (date(2024, 1, 30), 1, 1),
        (None, 1, 1),
    ]


def test_a_refused_batch_leaves_the_tables_as_they_were_and_records_why(desk: Desk) -> None:
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0)))
    desk.load()
    before = held(desk)
    desk.land("b.csv", oi(("BTCUSDT", "2024-01-31", 6.0)))
    desk.refuse = True
    with pytest.raises(GateError, match=r"open_interest\.refuse"):
        desk.load()
    assert held(desk) == before
    assert desk.rows("select load_seq, passed from ops.check_results order by 1") == [(1, True), (2, False)]
    desk.refuse = False
    assert desk.load().load_seq == 2


def test_a_table_with_other_rules_than_the_contract_is_no_defect_of_the_batch(desk: Desk) -> None:
    ddl = desk.rows("select sql from duckdb_tables() where table_name = 'open_interest'")[0][0]
    desk.con.execute("drop table clean.open_interest")
    desk.con.execute(ddl.replace("'1d'", "'2d'"))
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0)))
    with pytest.raises(WarehouseDamagedError, match=r"clean\.open_interest has other rules.*rebuild"):
        desk.load()
    assert desk.rows("select count(*) from ops.loads") == [(0,)]


def test_a_frame_that_does_not_fit_the_contract_is_an_error_that_names_the_column(desk: Desk) -> None:
    batch = oi(("BTCUSDT", "2024-01-30", 5.0))
    desk.land("a.csv", {**batch, "rows": batch["rows"].drop("venue").with_columns(extra=pl.lit(1))})
    with pytest.raises(ContractError, match=r"extra.*venue"):
        desk.load()


def test_gaps_carry_their_reason(desk: Desk) -> None:
    null_cells = pl.DataFrame(
        [{"trade_date": date(2024, 1, 30), "instrument": "BTCUSDT", "cells": 1}], schema=NULL_CELLS_SCHEMA
    )
    desk.rules = SourceRules(
        gaps=(KnownGap("open_interest", date(2024, 2, 1), date(2024, 2, 1), "the vendor was down"),)
    )
    desk.land(
        "a.csv",
        {
            **oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-02-04", 6.0), ("ETHUSDT", "2024-01-31", 1.0)),
            "null_cells": null_cells,
        },
    )
    desk.load()
    assert desk.rows(
        "select trade_date, expected, present, status, reason from ops.coverage where instrument = 'BTCUSDT' order by 1"
    ) == [
        (date(2024, 1, 29), 1, 1, "complete", None),
        (date(2024, 1, 30), None, 0, "missing", "empty in the source"),
        (date(2024, 1, 31), None, 0, "missing", "not in the source"),
        (date(2024, 2, 1), None, 0, "missing", "the vendor was down"),
        (date(2024, 2, 2), None, 0, "missing", "not in the source"),
        (date(2024, 2, 3), 1, 1, "complete", None),
    ]


def test_a_gap_that_is_filled_later_is_no_longer_a_gap(desk: Desk) -> None:
    desk.land("a.csv", oi(("BTCUSDT", "2024-01-30", 5.0), ("BTCUSDT", "2024-02-01", 6.0)))
    desk.load()
    desk.land("b.csv", oi(("BTCUSDT", "2024-01-31", 5.5)))
    desk.load()
    assert desk.rows("select count(*), count(distinct trade_date) from ops.coverage") == [(3, 3)]
    assert desk.rows("select distinct status from ops.coverage") == [("complete",)]


def test_days_without_events_inside_a_declared_span_are_empty_and_not_missing(desk: Desk) -> None:
    desk.rules = SourceRules(spans=(CoverageSpan("liquidations", "binance", date(2024, 1, 1), date(2024, 1, 3)),))
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
    desk.land("a.csv", {"table": "liquidations", "rows": rows, "rejects": no_rejects()})
    desk.load()
    assert desk.rows("select trade_date, present, status from ops.coverage order by 1") == [
        (date(2024, 1, 1), 0, "empty"),
        (date(2024, 1, 2), 1, "complete"),
        (date(2024, 1, 3), 0, "empty"),
    ]


def test_an_instrument_without_a_row_inside_a_declared_span_of_totals_had_no_liquidations(desk: Desk) -> None:
    desk.rules = SourceRules(
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
    desk.land("a.json", {"table": "liquidation_totals", "rows": rows})
    desk.load()
    assert desk.rows("select trade_date, status, reason from ops.coverage order by 1") == [
        (date(2024, 1, 1), "complete", None),
        (date(2024, 1, 2), "empty", None),
        (date(2024, 1, 3), "missing", "missing in the file"),
        (date(2024, 1, 4), "complete", None),
    ]


def hours(day: int, first: int, last: int, *, without: Sequence[int] = ()) -> list[datetime]:
    """The slots of a day of January 2024 from the hour `first` through `last`."""
    return [datetime(2024, 1, day, hour) for hour in range(first, last + 1) if hour not in without]


def capture(desk: Desk, *slots: datetime, instruments: Sequence[str] = ("BTCUSDT",)) -> None:
    """Land and load what was open five minutes into each slot."""
    before = desk.rules.captures.slots if desk.rules.captures else frozenset()
    desk.rules = SourceRules(captures=Captures(1, before | frozenset(slots)))
    for slot in slots:
        batch = oi(*((name, f"{slot + timedelta(minutes=5)}", 5.0) for name in instruments))
        batch["rows"] = batch["rows"].with_columns(pl.lit("snapshot").alias("period"))
        desk.land(f"{slot:%H%M}", batch, partition=f"{slot:%Y-%m-%d}")
    desk.load()


def judged(desk: Desk, instrument: str = "BTCUSDT") -> list[tuple[Any, ...]]:
    return desk.rows(
        "select day(trade_date), expected, present, status, reason from ops.coverage "
        f"where instrument = '{instrument}' order by trade_date"
    )


def test_a_day_of_captures_is_complete_only_with_every_slot_of_it(desk: Desk) -> None:
    lost = hours(3, 0, 23, without=[7])
    capture(desk, *hours(1, 14, 23), *hours(2, 0, 23), *lost, *hours(5, 0, 1))
    assert judged(desk) == [
        (1, 24, 10, "partial", "captured 10 of 24 slots"),
        (2, 24, 24, "complete", None),
        (3, 24, 23, "partial", "captured 23 of 24 slots"),
        (4, 24, 0, "missing", "captured 0 of 24 slots"),
        (5, 2, 2, "complete", None),
    ]


def test_the_newest_day_of_captures_is_judged_as_a_whole_when_it_is_over(desk: Desk) -> None:
    capture(desk, *hours(1, 0, 23), *hours(2, 0, 4, without=[3]))
    assert judged(desk)[1:] == [(2, 5, 4, "partial", "captured 4 of 5 slots")]
    capture(desk, *hours(2, 5, 20))
    assert judged(desk)[1:] == [(2, 21, 20, "partial", "captured 20 of 21 slots")]
    # Nothing of the second is loaded with the third.
    capture(desk, *hours(3, 0, 0))
    assert judged(desk)[1:] == [(2, 24, 20, "partial", "captured 20 of 24 slots"), (3, 1, 1, "complete", None)]


def test_an_instrument_that_lacks_what_the_slots_hold_of_others_is_partial(desk: Desk) -> None:
    capture(desk, *hours(1, 0, 11), instruments=["BTCUSDT", "ETHUSDT"])
    capture(desk, *hours(1, 12, 23))
    assert judged(desk) == [(1, 24, 24, "complete", None)]
    assert judged(desk, "ETHUSDT") == [(1, 24, 12, "partial", "not in the source")]


_LATEST = """
select trade_date, received, accepted, duplicates, restated, quarantined from ops.loads
qualify row_number() over (partition by source, table_name, trade_date order by load_seq desc) = 1
order by trade_date
"""


def test_texts_that_all_rows_say_alike_are_loaded_as_they_were_said(desk: Desk) -> None:
    desk.land("a.csv", oi(("O'NE", "2024-01-01 00:05", 1.0), ("O'NE", "2024-01-01 00:10", 2.0)))
    desk.load()
    assert {row[0] for row in held(desk)} == {"O'NE"}


def test_a_text_that_each_file_says_alike_but_no_other_file_is_that_of_the_file(desk: Desk) -> None:
    a = desk.land("a.csv", oi(("AUSDT", "2024-01-01 00:05", 1.0)))
    b = desk.land("b.csv", oi(("BUSDT", "2024-01-01 00:05", 2.0)))
    desk.load()
    assert desk.rows("select instrument, landing_id from clean.open_interest order by all") == [
        ("AUSDT", a.landing_id),
        ("BUSDT", b.landing_id),
    ]


def test_a_required_text_that_no_row_has_puts_every_row_into_quarantine(desk: Desk) -> None:
    batch = oi(("BTCUSDT", "2024-01-01 00:05", 1.0), ("BTCUSDT", "2024-01-01 00:10", 2.0))
    batch["rows"] = batch["rows"].with_columns(pl.lit(None, pl.String).alias("venue"))
    desk.land("a.csv", batch)
    desk.load()
    assert held(desk) == []
    assert desk.rows("select reason, detail from ops.quarantine") == [("contract", "venue is null")] * 2


def test_keys_that_are_compared_in_many_passes_are_found_twice_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "STAGE_ROWS_PER_PASS", 2)
    stamps = [f"2024-01-0{day} 00:05" for day in range(1, 6)]
    desk.land("old.csv", oi(*(("BTCUSDT", stamp, 1.0) for stamp in stamps)))
    desk.land("new.csv", oi(*(("BTCUSDT", stamp, 2.0) for stamp in stamps)))
    report = desk.load()
    assert [row[2] for row in held(desk)] == [2.0] * 5
    assert (report.tables[0].received, report.tables[0].accepted, report.tables[0].restated) == (10, 5, 5)
