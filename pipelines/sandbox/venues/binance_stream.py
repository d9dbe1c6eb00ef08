"""Emulates Binance's routed websocket: forced orders of both kinds of contracts, and a mark price every three seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.binance_archive import LISTINGS

ORDERS: Final = {"long": "SELL", "short": "BUY"}


@dataclass(frozen=True)
class BinanceStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(
        x for x in LISTINGS if x.contract_type in ("linear", "inverse") and x.delisted_at is None
    )
    paths: Sequence[str] = ("/market/ws",)
    ping_every: float | None = 180.0
    tick_every: float | None = 3.0

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        if asked["method"] == "LIST_SUBSCRIPTIONS":
            return [_text({"result": sorted(client.topics), "id": asked["id"]})]
        if any(map(refused, asked["params"])):
            return [_text({"error": {"code": 2, "msg": "Invalid request"}, "id": asked["id"]})]
        client.topics |= set(asked["params"])
        return [_text({"result": None, "id": asked["id"]})]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        price = {"e": "markPriceUpdate", "E": milliseconds(now), "s": "BTCUSDT", "p": "60000.0", "st": 1}
        return [_text(price)] if "btcusdt@markPrice" in client.topics else ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        """One order a frame, and at most the largest of a symbol and second."""
        if "!forceOrder@arr" not in client.topics:
            return ()
        largest: dict[tuple[str, datetime], Event] = {}
        for event in events:
            key = (event.listing.instrument, event.at.replace(microsecond=0))
            if key not in largest or event.quantity_base > largest[key].quantity_base:
                largest[key] = event
        return [(_text({"e": "forceOrder", "E": milliseconds(now), "o": _order(x)}), [x]) for x in largest.values()]


def _order(event: Event) -> dict[str, Any]:
    listing = event.listing
    is_inverse = listing.contract_type == "inverse"
    contracts = event.quantity_base * event.price / (listing.contract_size or 1.0)
    amount = f"{contracts:.8f}" if is_inverse else f"{event.quantity_base / listing.multiplier:.8f}"
    price = f"{event.price * listing.multiplier:.10g}"
    return {
        "s": listing.instrument, "S": ORDERS[event.side], "o": "LIMIT", "f": "IOC", "q": amount, "p": price, "ap": price,
        "X": "FILLED", "l": amount, "z": amount, "T": milliseconds(event.at), "ps": listing.instrument,
        "st": 2 if is_inverse else 1,
    }  # fmt: skip


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = BinanceStream()
