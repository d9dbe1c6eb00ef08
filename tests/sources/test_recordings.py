"""Websocket recordings imported with the built-in mappings; sides, amounts and times computed by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.sources.files.source import land_matches, open_landings

EXAMPLES = PROJECT_ROOT / "pipelines" / "sources" / "files" / "vendors"
COLUMNS = ("instrument", "occurred_at", "side", "price", "quantity_base", "notional_usd", "completeness")


def imported(folder: Path, example: str, files: Mapping[str, str]) -> dict[str, pl.DataFrame]:
    """Rows per table, and `rejects`, of recordings by their names."""
    recordings = folder / "recordings"
    recordings.mkdir()
    for name, text in files.items():
        (recordings / name).write_text(text)
    store = LandingStore(Settings(home=folder / "home").home)
    landings = land_matches(store, EXAMPLES / f"{example}.toml", root=recordings)
    parse, _ = open_landings(store, load_contract(PROJECT_ROOT / "warehouse" / "schema"), landings)
    batches = [batch for landing in landings for batch in parse(landing)]
    rows = {
        table: pl.concat([batch.rows for batch in batches if batch.table == table and batch.rows.width > 2])
        for table in ("liquidations", "instruments")
    }
    return {**rows, "rejects": pl.concat([batch.rejects for batch in batches])}


def test_forced_orders_of_binance_are_sides_of_orders_filled_at_their_average(
    samples_dir: Path, tmp_path: Path
) -> None:
    lines = (samples_dir / "cex" / "binance_ws_forceOrder_2022-04-25.jsonl").read_text().splitlines(keepends=True)
    perpetual = json.loads(lines[3])["data"]["o"] | {"s": "BTCUSD_PERP"}
    ether = perpetual | {"s": "ETHUSD_PERP", "S": "BUY", "ap": "240.00"}
    coin = [lines[3], json.dumps({"e": "forceOrder", "E": 1, "o": perpetual}) + "\n", json.dumps({"o": ether}) + "\n"]
    got = imported(
        tmp_path, "binance_recordings", {"um_orders.jsonl": "".join(lines[:3]), "cm_orders.jsonl": "".join(coin)}
    )
    # A forced sell closed a long. Filled at 39,021.00 and not at the limit of 38,886.54: 0.288 × 39,021 = 11,238.048.
    # Three contracts of 100 dollars are 300 / 9,352.7 bitcoin; of ten dollars 30 / 240 ether.
    sold, coined = datetime(2022, 4, 25, 14, 52, 9, 196000), datetime(2020, 7, 13, 6, 49, 14, 21000)
    assert got["liquidations"].select(COLUMNS).sort("instrument", "occurred_at").rows() == [
        ("BTCUSDT", datetime(2020, 3, 13, 0, 23, 51, 421000), "short", 4706.04, 0.014, pytest.approx(65.88456), "throttled"),
        ("BTCUSDT", sold, "long", 39_021.0, 0.288, pytest.approx(11_238.048), "throttled"),
        ("BTCUSDT", datetime(2022, 4, 25, 14, 52, 16, 320000), "long", 38_986.5, 0.004, pytest.approx(155.946), "throttled"),
        ("BTCUSD_PERP", coined, "long", 9352.7, pytest.approx(300 / 9352.7), 300.0, "throttled"),
        ("ETHUSD_PERP", coined, "short", 240.0, 0.125, 30.0, "throttled"),
    ]  # fmt: skip
    assert got["rejects"].select("line", "instrument", "reason").rows() == [(1, "BTCUSD_200925", "unknown_instrument")]


def test_forced_orders_of_binance_as_csv(samples_dir: Path, tmp_path: Path) -> None:
    text = (samples_dir / "cex" / "binance_um_forceOrder_capture_2023-12-07.csv").read_text()
    got = imported(tmp_path, "binance_recordings", {"um_BTCUSDT.csv": text})["liquidations"]
    # 1701914938065 is 02:08:58.065 of 2023-12-07; 0.017 × 44,127.77 = 750.17209.
    assert got.height == 3
    assert got.select(COLUMNS).row(0) == (
        "BTCUSDT", datetime(2023, 12, 7, 2, 8, 58, 65000), "short", 44_127.77, 0.017, pytest.approx(750.17209), "throttled",
    )  # fmt: skip


def test_both_topics_of_bybit_have_the_side_of_the_position(samples_dir: Path, tmp_path: Path) -> None:
    lines = (samples_dir / "cex" / "bybit_ws_liquidations.jsonl").read_text().splitlines(keepends=True)
    [inner] = json.loads(lines[2])["data"]
    inverse = {"topic": "allLiquidation.BTCUSD", "data": [inner | {"s": "BTCUSD", "S": "Buy", "v": "300", "p": "60000"},
                                                          inner | {"s": "BTCUSD", "v": "60", "p": "60000"}]}  # fmt: skip
    got = imported(
        tmp_path,
        "bybit_recordings",
        {
            "liquidation.XRPUSD.jsonl": lines[0],
            "liquidation.GALAUSDT.jsonl": lines[1],
            "allLiquidation.PIPPINUSDT.jsonl": lines[2],
            "allLiquidation.BTCUSD.jsonl": json.dumps(inverse) + "\n",
        },
    )
    # Sell: a short was liquidated. 6,949 dollars of XRP at 0.5149; 1,637 GALA at 0.03803 = 62.25511 dollars.
    pushed = datetime(2025, 2, 25, 10, 43, 27, 110000)
    assert got["liquidations"].select(COLUMNS).sort("instrument", "side").rows() == [
        ("BTCUSD", pushed, "long", 60_000.0, 0.005, 300.0, "full"),
        ("BTCUSD", pushed, "short", 60_000.0, 0.001, 60.0, "full"),
        ("GALAUSDT", datetime(2023, 1, 9, 7, 58, 11, 822000), "long", 0.03803, 1637.0, pytest.approx(62.25511), "throttled"),
        ("PIPPINUSDT", pushed, "short", 0.02456, 2846.0, pytest.approx(69.89776), "full"),
        ("XRPUSD", datetime(2023, 4, 5, 5, 52, 24, 93000), "short", 0.5149, pytest.approx(6949 / 0.5149), 6949.0, "throttled"),
    ]  # fmt: skip
    assert got["rejects"].is_empty()


def test_answers_to_subscriptions_are_ignored_and_other_messages_go_to_quarantine(
    samples_dir: Path, tmp_path: Path
) -> None:
    lines = (samples_dir / "cex" / "bybit_ws_liquidations.jsonl").read_text().splitlines(keepends=True)
    ack = '{"success":true,"op":"subscribe"}\n{"success":true}\n'
    got = imported(tmp_path, "bybit_recordings", {"liquidation.GALAUSDT.jsonl": ack + lines[1]})
    assert got["liquidations"].height == 1
    assert got["rejects"].select("line", "reason", "detail").rows() == [
        (2, "unparsable", "no record at data or msg.data")
    ]
