"""Hand-written files and mappings for the tests of file import, and functions that parse them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import Landing
from pipelines.sources.files.mapping import Mapping
from pipelines.sources.files.source import load_mapping, parse

PERPETUALS = """
[[instrument]]
venue = "binance"
name = '(?P<base>[A-Z0-9]+)USDT'
symbol = "{base}USDT"
base = "{base}"
quote = "USDT"
contract_type = "linear"
"""
"""The instrument rule of all mappings here."""

LONG = (
    """
dataset = "example"
description = "Open interest, one row per symbol and time"
"""
    + PERPETUALS
    + """
[[file]]
pattern = "*.csv"
format = "csv"
instrument = "symbol"
time = { column = "time", format = "%Y-%m-%d %H:%M:%S", zone = "UTC" }
absent = [""]

[[file.rows]]
table = "open_interest"
available = { after = "event", lag = "5m" }
set = { venue = "binance", period = "5m", oi_raw_unit = "base", counting = "one_sided" }
columns = { oi_base = "oi", oi_raw = "oi", oi_usd = "value" }
"""
)

LONG_HEADER = "symbol,time,oi,value\n"
GOOD_ROW = "BTCUSDT,2024-01-01 00:05:00,1.5,60000\n"

WIDE = (
    """
dataset = "wide"
description = "Liquidations, one column per symbol and side"
"""
    + PERPETUALS
    + """
[[file]]
pattern = "*.csv"
format = "csv"
absent = ["", "NaN"]
wide = { columns = '(?P<instrument>.+)_(?P<metric>long|short)', metrics = ["long", "short"] }
time = { column = "t", format = "date", zone = "UTC" }

[[file.rows]]
table = "liquidation_totals"
available = { after = "period", lag = "1h" }
set = { venue = "binance", measure = "position_notional", period = "1d", completeness = "throttled" }
columns = { long_base = "long", short_base = "short" }
"""
)


@dataclass
class Parsed:
    """The parsed batches of a landing by table."""

    rows: dict[str, pl.DataFrame] = field(default_factory=dict)
    rejects: dict[str, pl.DataFrame] = field(default_factory=dict)
    null_cells: dict[str, pl.DataFrame] = field(default_factory=dict)

    def only_rejects(self) -> pl.DataFrame:
        return pl.concat(self.rejects.values())


def contract() -> Contract:
    return load_contract(PROJECT_ROOT / "warehouse" / "schema")


def mapping(folder: Path, text: str) -> Mapping:
    path = folder / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return load_mapping(path, contract=contract())


def landing(path: Path, name: str) -> Landing:
    return Landing(
        landing_id="0" * 20,
        source="files.example",
        partition="history",
        part=name,
        version=1,
        path=path,
        original_name=name,
        sha256="0" * 64,
        bytes=path.stat().st_size,
        fetched_at=datetime(2024, 6, 1),
        completeness="complete",
        request={},
    )


def parse_content(folder: Path, content: bytes | str, *, text: str = LONG, name: str = "data.csv") -> Parsed:
    """Write `content`, treat it as a landing of the file `name`, and parse all of it."""
    path = folder / "landed"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse_file(folder, path, text=text, name=name)


def parse_file(folder: Path, path: Path, *, text: str = LONG, name: str = "data.csv") -> Parsed:
    batches = list(parse(landing(path, name), mapping(folder, text), contract()))
    parsed = Parsed()
    for table in dict.fromkeys(batch.table for batch in batches):
        matching = [batch for batch in batches if batch.table == table]
        parsed.rows[table] = pl.concat([batch.rows for batch in matching], how="diagonal")
        parsed.rejects[table] = pl.concat([batch.rejects for batch in matching])
        parsed.null_cells[table] = pl.concat([batch.null_cells for batch in matching])
    return parsed
