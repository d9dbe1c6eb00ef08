"""Emulates the websocket of dYdX's indexer: trades by market, recent ones with the acknowledgment, a ping frame each 30 s."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.dydx import LISTINGS

TAKERS: Final = {"long": "SELL", "short": "BUY"}


@dataclass(frozen=True)
class DydxStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type == "linear")
    paths: Sequence[str] = ("/v4/ws",)
    ping_every: float | None = 30.0
    tick_every: float | None = None

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        market = asked["id"]
        if refused(market) or market not in {x.instrument for x in self.listings}:
            return [_text({"type": "error", "message": f"Invalid id for channel: (v4_trades-{market})"})]
        client.topics.add(market)
        recent = {"id": "0", "side": "BUY", "size": "1", "price": "1", "type": "LIMIT", "createdAt": _iso(now)}
        return [self._frame(client, "subscribed", market, [recent])]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        return [
            (self._frame(client, "channel_data", event.listing.instrument, [_trade(event)]), [event])
            for event in events
            if event.listing.instrument in client.topics
        ]

    @staticmethod
    def _frame(client: Client, kind: str, market: str, trades: Sequence[dict[str, Any]]) -> str:
        client.state["sent"] = int(client.state.get("sent", 0)) + 1
        content = {"trades": trades}
        return _text(
            {
                "type": kind, "connection_id": f"c{client.number}", "message_id": client.state["sent"], "id": market,
                "channel": "v4_trades", "version": "2.1.0", "contents": content,
            }
        )  # fmt: skip


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds(moment) % 1000:03}Z"


def _trade(event: Event) -> dict[str, Any]:
    name = event.listing.instrument
    return {
        "id": f"{name}-{event.number}", "side": TAKERS[event.side], "size": f"{event.quantity_base:.6f}",
        "price": f"{event.price:.10g}", "type": "LIQUIDATED", "createdAt": _iso(event.at),
    }  # fmt: skip


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = DydxStream()
