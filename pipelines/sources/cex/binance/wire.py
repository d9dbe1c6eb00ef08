"""What Binance's names say, for the archives and the interface alike: contract sizes, delivery days, kinds of instrument.

Which asset a name carries stands in pipelines.core.universe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.universe import InstrumentFacts
from pipelines.sources.instruments import each_instrument

VENUE_ID: Final = "binance"
"""The venue in clean rows, whichever of the two modules they come from."""

SPOT_QUOTES: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
"""What a spot pair may be quoted in; pairs in other currencies (BIDR, UAH and the like) are none of the warehouse's."""

STABLE_QUOTES: Final = ("USDT", "USDC", "FDUSD", "BUSD")

IS_USDT_M: Final = (pl.col("contract_type") == "linear") & ~pl.col("instrument").str.contains("_", literal=True)
"""USDT-margined perpetuals; dated contracts carry their delivery day after an underscore."""

IS_COIN_M: Final = (pl.col("contract_type") == "inverse") & pl.col("instrument").str.ends_with("_PERP")
"""Coin-margined perpetuals."""

IS_PERPETUAL: Final = IS_USDT_M | IS_COIN_M
IS_SPOT: Final = (pl.col("contract_type") == "spot") & pl.col("quote").is_in(STABLE_QUOTES)

_DELIVERY: Final = re.compile(r"_(\d{6})$")

Subjects = Callable[[pl.DataFrame], Mapping[str, Mapping[str, Any]]]

usdt_m: Final[Subjects] = each_instrument(IS_USDT_M)
coin_m: Final[Subjects] = each_instrument(IS_COIN_M)
perpetuals: Final[Subjects] = each_instrument(IS_PERPETUAL)
spot_pairs: Final[Subjects] = each_instrument(IS_SPOT)


def contract_size(facts: InstrumentFacts) -> float | None:
    """Dollars in a COIN-M contract: 100 of bitcoin, 10 of all others, since the market opened. None elsewhere."""
    if facts.contract_type != "inverse":
        return None
    return 100.0 if facts.asset == "BTC" else 10.0


def delivery(instrument: str) -> datetime | None:
    """When a dated future is delivered: BTCUSDT_240628 at 08:00 UTC of its day. None for perpetuals and nonsense."""
    found = _DELIVERY.search(instrument)
    try:
        return datetime.strptime(found[1], "%y%m%d") + timedelta(hours=8) if found else None  # noqa: DTZ007 - naive UTC
    except ValueError:
        return None


def sizes(instruments: pl.DataFrame, *, subject: str) -> pl.DataFrame:
    """Contract sizes by `subject`, for joining to records."""
    return instruments.select(pl.col("instrument").alias(subject), "contract_size")
