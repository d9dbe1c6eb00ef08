"""Emulates Gate's futures websocket: all liquidations of a settlement, with sizes as signed text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.gate import LISTINGS

CHANNEL: Final = "futures.public_liquidates"


@dataclass(frozen=True)
class GateStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type in ("linear", "inverse"))
    paths: Sequence[str] = ("/v4/ws/usdt", "/v4/ws/btc")
    ping_every: float | None = 30.0
    tick_every: float | None = None

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        stamp = {"time": milliseconds(now) // 1000, "time_ms": milliseconds(now), "channel": asked["channel"]}
        if asked["channel"] == "futures.ping":
            return [_text({**stamp, "channel": "futures.pong", "event": "", "result": None})]
        if any(map(refused, asked["payload"])):
            return [_text({**stamp, "event": "subscribe", "error": {"code": 2, "message": "invalid argument"}})]
        client.topics |= set(asked["payload"])
        return [_text({**stamp, "event": "subscribe", "result": {"status": "success"}})]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        kind = "inverse" if client.path.endswith("btc") else "linear"
        carried = [event for event in events if event.listing.contract_type == kind]
        if "!all" not in client.topics or not carried:
            return ()
        rows = [_row(event) for event in carried]
        push = {"channel": CHANNEL, "event": "update", "time": milliseconds(now) // 1000, "result": rows}
        return [(_text(push), carried)]


def _row(event: Event) -> dict[str, Any]:
    listing = event.listing
    amount = event.quantity_base * event.price if listing.contract_type == "inverse" else event.quantity_base
    sign = -1 if event.side == "long" else 1
    return {
        "price": f"{event.price:.10g}", "size": f"{sign * amount / (listing.contract_size or 1.0):.6f}",
        "time": milliseconds(event.at), "contract": listing.instrument,
    }  # fmt: skip


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = GateStream()
