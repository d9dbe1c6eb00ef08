"""Emulates Aster's websocket: Binance's format without pairs and kinds of contracts, a mark price every three seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.venues.aster import LISTINGS
from pipelines.sandbox.venues.binance_stream import BinanceStream

_LISTINGS: Final[Sequence[Listing]] = LISTINGS
SPEAKER: Final = BinanceStream(listings=_LISTINGS, paths=("/ws",), ping_every=300.0)
