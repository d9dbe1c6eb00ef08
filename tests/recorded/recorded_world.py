"""The recorded data sets and their mappings, and small helpers to ask their rows. No tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl

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


def at(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]


def only(frame: pl.DataFrame, **equal: object) -> pl.DataFrame:
    return frame.filter(pl.all_horizontal(pl.col(name) == value for name, value in equal.items()))


def close_to(left: str, right: str, relative: float = 1e-9) -> pl.Expr:
    return ((pl.col(left) - pl.col(right)).abs() <= relative * pl.col(right).abs()).all()
