"""Compound v3: debts of absorptions are shared over collaterals, stated in the comet's unit, and split into repaid and bad."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import orjson
import pytest

from pipelines.contract.ddl import apply_ddl, load_contract
from pipelines.extract.venue import Page
from pipelines.quality.batch import GateInput
from pipelines.quality.gate import run_gate
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.chain.evm.comet import split

from .evm_events import AT, parsed

SCHEMA: Final = Path(__file__).resolve().parents[2] / "warehouse" / "schema"
LOADED: Final = "debt_amount double, trade_date date, source varchar, landing_id varchar, loaded_at timestamp"

# Dollars of debt in the public record of these absorptions, by month.
DEBT_BY_MONTH: Final = {
    "2025-09": 583_120.19,
    "2025-10": 17_504_070.40,
    "2025-11": 52_918_038.48,
    "2025-12": 44_624.12,
    "2026-01": 14_331_655.27,
    "2026-02": 13_809_104.99,
    "2026-03": 37_479.27,
    "2026-05": 552_992.48,
    "2026-06": 8_243_562.81,
}


def pages(file: Path) -> Iterator[tuple[str, Page]]:
    """Venue and page of each chain in a file of logs, as the portal would tell them."""
    by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in file.read_bytes().splitlines():
        by_dataset[(log := orjson.loads(line))["dataset"]].append(log)
    for dataset, logs in by_dataset.items():
        logs.sort(key=lambda log: (log["ts"], log["logIndex"]))
        lines = [
            orjson.dumps({"header": {"number": log["ts"] // 12, "hash": "0x0", "timestamp": log["ts"]}, "logs": [log]})
            for log in logs
        ]
        [venue] = [chain.venue for chain in CHAINS if chain.portal_dataset == dataset]
        yield venue, Page("*", {"endpoint": "portal", "path": "", "body": {}}, 200, AT, b"\n".join(lines))


def comet_rows(file: Path, table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for venue, page in pages(file):
        one = parsed(venue, "comet", page, table=table)
        assert one.rejects is not None
        assert one.rejects.is_empty(), one.rejects["detail"].to_list()
        found += one.rows.to_dicts()
    return found


def dollars_by_month(rows: list[dict[str, Any]]) -> dict[str, float]:
    months: dict[str, float] = defaultdict(float)
    for row in rows:
        # Two of the absorptions are in ether, and the record took them for dollars.
        months[f"{row['occurred_at']:%Y-%m}"] += row["debt_usd"] or row["debt_value"] or 0
    return months


def test_every_real_absorption_is_a_row_and_their_debt_is_that_of_the_public_record(field_dir: Path) -> None:
    seized = comet_rows(field_dir / "chain" / "svr.jsonl", "lending_liquidations")
    bad = comet_rows(field_dir / "chain" / "svr.jsonl", "lending_bad_debt")
    assert len(seized) == 661
    assert all(row["debt_amount_raw"] is not None for row in seized)
    repaid, lost = dollars_by_month(seized), dollars_by_month(bad)
    assert {month: repaid[month] + lost[month] for month in repaid} == pytest.approx(DEBT_BY_MONTH, abs=0.01)


def test_the_bad_debt_of_november_2025_appears_though_collateral_was_absorbed(field_dir: Path) -> None:
    bad = comet_rows(field_dir / "chain" / "svr.jsonl", "lending_bad_debt")
    on_the_day = [row["debt_usd"] for row in bad if f"{row['occurred_at']:%Y-%m-%d}" == "2025-11-06"]
    # 15,592,930.27 dollars were absorbed; the collateral, deUSD most of it, was worth 4,496,689.86.
    assert (len(on_the_day), sum(on_the_day)) == (8, pytest.approx(11_096_265.56, abs=0.01))
    seized = comet_rows(field_dir / "chain" / "svr.jsonl", "lending_liquidations")
    repaid = [row["debt_usd"] for row in seized if f"{row['occurred_at']:%Y-%m-%d}" == "2025-11-06"]
    assert sum(repaid) + sum(on_the_day) == pytest.approx(15_592_930.27, abs=0.01)


def test_values_carry_the_unit_of_their_comet(field_dir: Path) -> None:
    rows = comet_rows(field_dir / "chain" / "multi.jsonl", "lending_liquidations")
    told = [
        (row["collateral_usd"], row["collateral_value"], row["debt_usd"], row["debt_value"], row["value_unit"])
        for row in rows
    ]
    assert told == [
        (None, 120.5, None, 114.0, "ETH"),
        (None, 2.0, None, pytest.approx(1.9), "BTC"),
        (26_000.0, None, 24_700.0, None, None),
        # 950,000 dollars of debt for a million of one collateral and 150 of another.
        (1_000_000.0, None, pytest.approx(949_857.521372), None, None),
        (150.0, None, pytest.approx(142.478628), None, None),
        (0.0, None, 0.0, None, None),
    ]
    assert [int(row["debt_amount_raw"]) for row in rows[3:5]] == [949_857_521_371, 142_478_629]
    # Dust: one unit of collateral that is worth nothing, and twelve units of debt.
    assert [(row["debt_amount_raw"], row["debt_usd"]) for row in comet_rows(
        field_dir / "chain" / "multi.jsonl", "lending_bad_debt"
    )] == [("12", 0.000012)]  # fmt: skip


@pytest.mark.parametrize("file", ["svr", "multi"])
def test_no_check_of_the_gate_refuses_them(field_dir: Path, file: str) -> None:
    con = duckdb.connect()
    apply_ddl(con, load_contract(SCHEMA))
    for venue, page in pages(field_dir / "chain" / f"{file}.jsonl"):
        inputs = []
        for table in ("lending_liquidations", "lending_bad_debt"):
            wire = parsed(venue, "comet", page, table=table).rows.drop("_line")
            con.register("wire", wire.to_arrow())
            con.execute(f"create or replace table staged_{table} as select * from clean.{table} limit 0")
            con.execute(
                f"insert into staged_{table} by name select *, cast(occurred_at as date) as trade_date, "
                f"'{venue}.comet' as source, 'l' as landing_id, now()::timestamp as loaded_at from wire"
            )
            rows = wire.height
            inputs.append(GateInput(table, f"{venue}.comet", f"staged_{table}", rows, rows, 0, 0))
        refused = [
            (result.table, result.check_name)
            for result in run_gate(con, inputs)
            # This record goes up to June 2026, beyond the clock of the machine.
            if result.severity == "error" and not result.passed and result.check_name != "stamps_not_ahead"
        ]
        assert refused == []
    con.close()


def test_parts_add_up_to_their_whole() -> None:
    assert list(split(10, [1, 1, 1])) == [3, 3, 4]
    assert list(split(7, [0, 0])) == [0, 7]
    assert sum(split(10**40 + 1, [3, 10**30, 0, 7])) == 10**40 + 1
