"""Emulates OKX's public websocket: liquidation orders by type of instrument, pings and pongs as words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.okx import LISTINGS

ORDERS: Final = {"long": "sell", "short": "buy"}


@dataclass(frozen=True)
class OkxStream:
    """The stream with these listings."""

    listings: Sequence[Listing] = tuple(x for x in LISTINGS if x.contract_type in ("linear", "inverse"))
    paths: Sequence[str] = ("/ws/v5/public",)
    ping_every: float | None = None
    tick_every: float | None = None

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        if text == "ping":
            return ["pong"]
        answers = []
        for argument in json.loads(text)["args"]:
            if refused(argument["instType"]):
                return [
                    _text({"event": "error", "code": "60018", "msg": f"wrong {argument['instType']}", "connId": "x"})
                ]
            client.topics.add(argument["instType"])
            answers.append(_text({"event": "subscribe", "arg": argument, "connId": f"c{client.number}"}))
        return answers

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        if "SWAP" not in client.topics:
            return ()
        argument = {"channel": "liquidation-orders", "instType": "SWAP"}
        return [(_text({"arg": argument, "data": [_row(event)]}), [event]) for event in events]


def _row(event: Event) -> dict[str, Any]:
    listing = event.listing
    amount = event.quantity_base * event.price if listing.contract_type == "inverse" else event.quantity_base
    detail = {
        "bkLoss": "0", "bkPx": f"{event.price:.10g}", "ccy": "", "posSide": event.side, "side": ORDERS[event.side],
        "sz": f"{amount / (listing.contract_size or 1.0):.8f}", "ts": str(milliseconds(event.at)),
    }  # fmt: skip
    family = listing.instrument.removesuffix("-SWAP")
    return {"details": [detail], "instFamily": family, "instId": listing.instrument, "instType": "SWAP", "uly": family}


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = OkxStream()
