"""The recorded data sets, their mappings, the job that loads them, and query helpers. No tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.storage.fingerprint import Fingerprint, fingerprint_schemas
from pipelines.storage.warehouse import writer

MAPPINGS = Path(__file__).parent / "mappings"

FOLDERS = {
    "binance_daily_2022_2023": "cex/binance_daily_2022_2023",
    "older_btc_closes": "cex/binance_daily_2022_2023",
    "binance_hyperliquid_funding": "cex/binance_hyperliquid_funding_raw",
    "three_venue_8h_2023_2024": "cex/three_venue_8h_2023_2024",
    "seven_venue_hourly_2025_2026": "cex/seven_venue_hourly_2025_2026",
    "binance_vision_klines_golden": "cex/binance_vision_klines_golden",
    "deribit_option_snapshots": "cex/deribit_option_snapshots",
    "liquidation_capture_2026_04": "cex/liquidation_capture_2026_04",
    "aave_ethereum": "onchain/aave_ethereum",
    "aave_btc_collateral": "onchain/aave_btc_collateral",
    "liquity_v1": "onchain/liquity_v1",
    "hyperliquid_daily": "onchain/hyperliquid_daily",
}

Dataset = dict[str, pl.DataFrame]
Load = Callable[[str], Dataset]


REFERENCE: Final = "select sum(hash(i)) from range(4000000) as t (i)"
REFERENCE_SECONDS: Final = 0.02
"""What REFERENCE takes on two quiet cores."""


def slowness() -> float:
    """How many times slower than two quiet cores this machine is now, at least 1: bounds in seconds are for those. The minimum of
    several runs, because other load can only add to a run's time."""
    seconds = []
    with duckdb.connect() as con:
        for _ in range(5):
            started = time.perf_counter()
            con.execute(REFERENCE).fetchall()
            seconds.append(time.perf_counter() - started)
    return max(1.0, min(seconds) / REFERENCE_SECONDS)


@dataclass(frozen=True)
class Job:
    """A warehouse of the recorded data, with the output and the CPU seconds of its first run."""

    home: Path
    recorded: Path
    output: str
    cpu: float

    def run(self, *arguments: str, start: tuple[str, ...] = ("-m", "pipelines.cli")) -> str:
        """Standard output of a command run on the warehouse."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
        done = subprocess.run(
            [sys.executable, *start, *arguments],
            env=environment
            | {"LEVERHOUSE_HOME": str(self.home), "LEVERHOUSE_MAPPINGS": str(PROJECT_ROOT / "tests/recorded/mappings")},
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fingerprints(self) -> dict[str, Fingerprint]:
        with writer(Settings(home=self.home), what="fingerprints") as con:
            return fingerprint_schemas(con, "clean", "marts")


def at(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]


def only(frame: pl.DataFrame, **equal: object) -> pl.DataFrame:
    return frame.filter(pl.all_horizontal(pl.col(name) == value for name, value in equal.items()))


def close_to(left: str, right: str, relative: float = 1e-9) -> pl.Expr:
    return ((pl.col(left) - pl.col(right)).abs() <= relative * pl.col(right).abs()).all()
