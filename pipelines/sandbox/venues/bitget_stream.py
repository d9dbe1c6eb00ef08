"""Emulates Bitget's v3 websocket: liquidations by family of contracts in quote coin, pings and pongs as words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.bitget import LISTINGS

POSITIONS: Final = {"long": "buy", "short": "sell"}
FAMILIES: Final = frozenset({"usdt-futures", "usdc-futures", "coin-futures"})


@dataclass(frozen=True)
class BitgetStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = LISTINGS
    paths: Sequence[str] = ("/v3/ws/public",)
    ping_every: float | None = None
    tick_every: float | None = None

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        if text == "ping":
            return ["pong"]
        answers = []
        for argument in json.loads(text)["args"]:
            family = argument["instType"]
            if refused(family) or family not in FAMILIES or argument["topic"] != "liquidation":
                answers.append(_text({"event": "error", "arg": argument, "code": "30016", "msg": "Param error"}))
                continue
            # With a symbol it is acknowledged and nothing comes.
            if "symbol" not in argument:
                client.topics.add(family)
            answers.append(_text({"event": "subscribe", "arg": argument, "connId": f"c{client.number}"}))
        return answers

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        """One push a family, of the largest of a symbol, side and second."""
        largest: dict[tuple[str, str, datetime], Event] = {}
        for event in events:
            key = (event.listing.instrument, event.side, event.at.replace(microsecond=0))
            if key not in largest or event.quantity_base > largest[key].quantity_base:
                largest[key] = event
        pushed: dict[str, list[Event]] = {}
        for event in largest.values():
            pushed.setdefault(f"{event.listing.quote.lower()}-futures", []).append(event)
        return [
            (
                _text(
                    {
                        "action": "update", "arg": {"instType": family, "topic": "liquidation"},
                        "data": [_row(event) for event in found], "ts": milliseconds(now),
                    }
                ),
                found,
            )
            for family, found in pushed.items()
            if family in client.topics
        ]  # fmt: skip


def _row(event: Event) -> dict[str, Any]:
    quantity = event.quantity_base / event.listing.multiplier
    price = event.price * event.listing.multiplier
    return {
        "symbol": event.listing.instrument, "side": POSITIONS[event.side], "price": f"{price:.12g}",
        "amount": f"{quantity * price:.15g}", "ts": str(milliseconds(event.at)),
    }  # fmt: skip


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = BitgetStream()
