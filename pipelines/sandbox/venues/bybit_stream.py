"""Emulates Bybit's public websocket: liquidations by symbol, pushed as an array, whole frames refused for one unknown topic."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.bybit import LISTINGS

TOPIC: Final = "allLiquidation."
SIDES: Final = {"long": "Buy", "short": "Sell"}


@dataclass(frozen=True)
class BybitStream:
    """The stream with these listings; each path carries its own kind of contract."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type in ("linear", "inverse"))
    paths: Sequence[str] = ("/v5/public/linear", "/v5/public/inverse")
    ping_every: float | None = None
    tick_every: float | None = None

    def _listed(self, client: Client) -> dict[str, Listing]:
        kind = client.path.rpartition("/")[2]
        return {f"{TOPIC}{x.instrument}": x for x in self.listings if x.contract_type == kind}

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        answer = {"conn_id": f"c{client.number}", "req_id": asked.get("req_id", ""), "op": asked["op"]}
        if asked["op"] == "ping":
            return [_text({"success": True, "ret_msg": "pong", **answer})]
        topics = asked["args"]
        wrong = [topic for topic in topics if topic not in self._listed(client) or refused(topic)]
        again = [topic for topic in topics if topic in client.topics]
        if wrong or again:
            words = (
                f"error:handler not found,topic:{wrong[0]}" if wrong else f"error:already subscribed,topic:{again[0]}"
            )
            return [_text({"success": False, "ret_msg": words, **answer})]
        client.topics |= set(topics)
        return [_text({"success": True, "ret_msg": "", **answer})]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        by_topic: dict[str, list[Event]] = {}
        for event in events:
            topic = f"{TOPIC}{event.listing.instrument}"
            if topic in client.topics:
                by_topic.setdefault(topic, []).append(event)
        return [
            (
                _text(
                    {
                        "topic": topic, "type": "snapshot", "ts": milliseconds(now), "data": [_row(x) for x in several],
                    }
                ),
                several,
            )
            for topic, several in by_topic.items()
        ]  # fmt: skip


def _row(event: Event) -> dict[str, Any]:
    listing = event.listing
    price = event.price * listing.multiplier
    is_inverse = listing.contract_type == "inverse"
    size = event.quantity_base * event.price if is_inverse else event.quantity_base / listing.multiplier
    return {
        "T": milliseconds(event.at),
        "s": listing.instrument,
        "S": SIDES[event.side],
        "v": f"{size:.8f}",
        "p": f"{price:.10g}",
    }


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = BybitStream()
