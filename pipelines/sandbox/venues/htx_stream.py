"""Emulates HTX's notification websockets: gzip in binary messages, a ping of its own every 5 s whose time is to be echoed, swaps in
USDT and in coin at two addresses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.htx import LISTINGS

ORDERS: Final = {"long": "sell", "short": "buy"}
LINEAR: Final = "/linear-swap-notification"
INVERSE: Final = "/swap-notification"
KINDS: Final = {LINEAR: "linear", INVERSE: "inverse"}
ALL: Final = "public.*.liquidation_orders"
MOST_UNANSWERED: Final = 5


@dataclass(frozen=True)
class HtxStream:
    """The streams with these listings."""

    listings: Sequence[Listing] = LISTINGS
    paths: Sequence[str] = (LINEAR, INVERSE)
    ping_every: float | None = None
    tick_every: float | None = 5.0

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        if asked["op"] == "pong":
            if asked["ts"] == client.state.get("pinged"):
                client.state["unanswered"] = 0
            return ()
        topic = asked["topic"]
        answer = {"op": "sub", "cid": asked["cid"], "topic": topic, "ts": milliseconds(now)}
        names = {x.instrument for x in self.listings if x.contract_type == KINDS[client.path]}
        if refused(topic) or (topic != ALL and topic.split(".")[1] not in names):
            return [_text(answer | {"err-code": 2011, "err-msg": "Contract doesn't exist."})]
        if topic in client.topics or ALL in client.topics:
            return [_text(answer | {"err-code": 2014, "err-msg": "Repeated subscription."})]
        client.topics.add(topic)
        return [_text(answer | {"err-code": 0})]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        """A ping; whoever left five unanswered hears nothing more."""
        client.state["unanswered"] = client.state.get("unanswered", 0) + 1
        if client.state["unanswered"] > MOST_UNANSWERED:
            client.topics.clear()
            return [_text({"op": "close", "ts": milliseconds(now)})]
        client.state["pinged"] = str(milliseconds(now))
        return [_text({"op": "ping", "ts": client.state["pinged"]})]

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        kind = KINDS[client.path]
        return [
            (_push(event, now), [event])
            for event in events
            if event.listing.contract_type == kind
            and (ALL in client.topics or f"public.{event.listing.instrument}.liquidation_orders" in client.topics)
        ]


def _push(event: Event, now: datetime) -> str:
    listing = event.listing
    size = listing.contract_size or 1.0
    amount = event.quantity_base * event.price if listing.contract_type == "inverse" else event.quantity_base
    row: dict[str, Any] = {
        "symbol": listing.asset, "contract_code": listing.instrument, "direction": ORDERS[event.side], "offset": "close",
        "volume": round(amount / size, 8), "price": event.price, "created_at": milliseconds(event.at),
    }  # fmt: skip
    if listing.contract_type == "linear":
        row |= {
            "amount": event.quantity_base, "trade_turnover": event.quantity_base * event.price, "contract_type": "swap",
            "pair": listing.instrument, "business_type": "swap", "trade_partition": listing.quote,
        }  # fmt: skip
    topic = f"public.{listing.instrument}.liquidation_orders"
    return _text({"op": "notify", "topic": topic, "ts": milliseconds(now), "data": [row]})


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = HtxStream()
