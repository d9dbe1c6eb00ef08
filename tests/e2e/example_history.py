"""A small synthetic history in files, for end-to-end tests: two perpetuals over a hundred days, and a mapping."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

from pipelines.core.settings import PROJECT_ROOT, Settings
from tests.unit.files_fixture import PERPETUALS

DAYS = 100
FIRST = date(2023, 1, 1)

MAPPING = (
    """
dataset = "example"
description = "Synthetic history of two perpetuals"
"""
    + PERPETUALS
    + """
[[file]]
pattern = "candles*.csv"
format = "csv"
instrument = "symbol"

[file.time]
column = "day"
format = "date"
zone = "UTC"

[[file.rows]]
table = "candles"
available = { after = "period", lag = "1h" }
set = { venue = "binance", market = "perp", period = "1d" }
columns = { close = "close", volume_base = "volume" }

[[file]]
pattern = "oi*.csv"
format = "csv"
instrument = "symbol"

[file.time]
column = "day"
format = "date"
zone = "UTC"
shift = "1d"

[[file.rows]]
table = "open_interest"
available = { after = "event", lag = "1h" }
set = { venue = "binance", period = "1d", oi_raw_unit = "base", counting = "one_sided" }
columns = { oi_base = "oi", oi_raw = "oi" }

[[file]]
pattern = "funding*.csv"
format = "csv"
instrument = "symbol"

[file.time]
column = "settled"
format = "iso"
zone = "UTC"

[[file.rows]]
table = "funding_rates"
available = { after = "event", lag = "1m" }
set = { venue = "binance", kind = "settled", interval_hours = 8.0 }
columns = { rate = "rate" }
"""
)


def price(symbol: str, day: int) -> float:
    """Close of a day: a slow sine wave with a trend, at a different level per symbol."""
    return (20_000 if symbol.startswith("BTC") else 1_500) * (1 + 0.1 * math.sin(day / 7) + 0.001 * day)


def write_history(folder: Path, *, days: int = DAYS) -> Path:
    """Write the files below folder/example and the mapping to folder/mappings/example.toml; returns folder."""
    data = folder / "example"
    data.mkdir(parents=True)
    (folder / "mappings").mkdir()
    (folder / "mappings" / "example.toml").write_text(MAPPING, encoding="utf-8")
    candles, oi, funding = ["symbol,day,close,volume"], ["symbol,day,oi"], ["symbol,settled,rate"]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for number in range(days):
            day = FIRST + timedelta(days=number)
            candles.append(f"{symbol},{day},{price(symbol, number)},{1000 + 10 * math.cos(number)}")
            oi.append(f"{symbol},{day},{5000 + 100 * math.sin(number / 3)}")
            funding += [
                f"{symbol},{day}T{hour:02}:00:00Z,{0.0001 + 0.00005 * math.sin(number + hour)}" for hour in (0, 8, 16)
            ]
    for name, lines in (("candles", candles), ("oi", oi), ("funding", funding)):
        (data / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def command_environment(home: Path, history: Path) -> dict[str, str]:
    """The environment of a `leverhouse` command working on this home."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
    return kept | {"LEVERHOUSE_HOME": str(home), "LEVERHOUSE_MAPPINGS": str(history / "mappings")}


def start(home: Path, history: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `leverhouse` with these arguments and extra environment variables, in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        env=command_environment(home, history) | environment,
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def run(home: Path, history: Path, *arguments: str) -> str:
    """Run `leverhouse` and return its output. Fails with the output if the exit code is not 0."""
    with start(home, history, *arguments) as process:
        output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def settings_of(home: Path) -> Settings:
    """Settings of a home, to inspect it."""
    return Settings(home=home)
