"""Emulates Deribit's websocket: JSON-RPC, heartbeats that ask for a test, trades of which some are liquidations."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.deribit import LISTINGS

TAKERS: Final = {"long": "sell", "short": "buy"}
CHANNEL: Final = "trades.future.any.100ms"


@dataclass(frozen=True)
class DeribitStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type in ("linear", "inverse"))
    paths: Sequence[str] = ("/ws/api/v2",)
    ping_every: float | None = None
    tick_every: float | None = 10.0

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        answer = {"jsonrpc": "2.0", "id": asked["id"]}
        match asked["method"]:
            case "public/set_heartbeat":
                return [_text({**answer, "result": "ok"})]
            case "public/test":
                return [_text({**answer, "result": {"version": "1.2.26"}})]
        known = [name for name in asked["params"]["channels"] if name == CHANNEL and not refused(name)]
        client.topics |= set(known)
        return [_text({**answer, "result": known})]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return [_text({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})]

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        if CHANNEL not in client.topics:
            return ()
        trades = [_trade(event) for event in events]
        push = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": CHANNEL, "data": trades}}
        return [(_text(push), events)] if events else ()


def _trade(event: Event) -> dict[str, Any]:
    listing = event.listing
    amount = event.quantity_base * event.price if listing.contract_type == "inverse" else event.quantity_base
    return {
        "trade_seq": event.number, "trade_id": f"{event.number}", "timestamp": milliseconds(event.at), "tick_direction": 3,
        "price": event.price, "liquidation": "T", "instrument_name": listing.instrument, "index_price": event.price,
        "direction": TAKERS[event.side], "amount": amount,
    }  # fmt: skip


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = DeribitStream()
