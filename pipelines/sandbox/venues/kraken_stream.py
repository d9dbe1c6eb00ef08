"""Emulates Kraken Futures' public websocket: trades by product, a snapshot first, heartbeats, alerts for unknown products."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.kraken import LISTINGS

TAKERS: Final = {"long": "sell", "short": "buy"}


@dataclass(frozen=True)
class KrakenStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type in ("linear", "inverse"))
    paths: Sequence[str] = ("/ws/v1",)
    ping_every: float | None = None
    tick_every: float | None = 1.0

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        if asked["feed"] == "heartbeat":
            client.state["heartbeat"] = True
            return [_text({"event": "subscribed", "feed": "heartbeat"})]
        known = {x.instrument for x in self.listings}
        wrong = [name for name in asked["product_ids"] if name not in known or refused(name)]
        right = [name for name in asked["product_ids"] if name not in wrong]
        client.topics |= set(right)
        alerts = [{"event": "alert", "message": f"Couldn't subscribe to invalid product `{name}`"} for name in wrong]
        fill = {"uid": "0", "side": "buy", "type": "fill", "seq": 1, "time": milliseconds(now), "qty": 1, "price": 1}
        snapshots = [
            {
                "feed": "trade_snapshot", "product_id": name,
                "trades": [{"feed": "trade", "product_id": name, **fill}],
            }
            for name in right
        ]  # fmt: skip
        return [_text(x) for x in (*alerts, {"event": "subscribed", "feed": "trade", "product_ids": right}, *snapshots)]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return [_text({"feed": "heartbeat", "time": milliseconds(now)})] if client.state.get("heartbeat") else ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        return [(_text(_trade(event)), [event]) for event in events if event.listing.instrument in client.topics]


def _trade(event: Event) -> dict[str, Any]:
    listing = event.listing
    amount = event.quantity_base * event.price if listing.contract_type == "inverse" else event.quantity_base
    return {
        "feed": "trade", "product_id": listing.instrument, "uid": f"{listing.instrument}-{event.number}",
        "side": TAKERS[event.side], "type": "liquidation", "seq": event.number, "time": milliseconds(event.at),
        "qty": amount, "price": event.price,
    }  # fmt: skip


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = KrakenStream()
