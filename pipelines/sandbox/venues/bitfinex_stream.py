"""Emulates Bitfinex's public websocket: arrays by channel number, heartbeats, a trigger and an execution per liquidation."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.bitfinex import LISTINGS

NUMBER: Final = 91684


@dataclass(frozen=True)
class BitfinexStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type == "linear")
    paths: Sequence[str] = ("/ws/2",)
    ping_every: float | None = None
    tick_every: float | None = 15.0

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        match asked["event"]:
            case "conf":
                return [_text({"event": "conf", "status": "OK", "flags": asked["flags"]})]
            case "ping":
                return [_text({"event": "pong", "ts": milliseconds(now), "cid": asked.get("cid")})]
        if refused(asked["key"]):
            return [_text({"event": "error", "code": 10300, "msg": "subscription failed", "key": asked["key"]})]
        client.topics.add(asked["key"])
        return [_text({"event": "subscribed", "channel": "status", "chanId": NUMBER, "key": asked["key"]})]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return [_text([NUMBER, "hb", self._next(client), milliseconds(now)])] if client.topics else ()

    @staticmethod
    def _next(client: Client) -> int:
        client.state["sequence"] = int(client.state.get("sequence", 0)) + 1
        return int(client.state["sequence"])

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        if not client.topics:
            return ()
        found: list[tuple[str, Sequence[Event]]] = []
        for event in events:
            for is_match in (0, 1):
                row = _row(event, is_match)
                frame = _text([NUMBER, [row], self._next(client), milliseconds(now)])
                found.append((frame, [event] if is_match else ()))
        return found


def _row(event: Event, is_match: int) -> list[Any]:
    amount = event.quantity_base if event.side == "long" else -event.quantity_base
    price = event.price if is_match else None
    name = event.listing.instrument
    return [
        "pos",
        event.number,
        milliseconds(event.at),
        None,
        name,
        amount,
        event.price,
        None,
        is_match,
        1,
        None,
        price,
    ]


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = BitfinexStream()
