"""Emulates Lighter's websocket: trades by numbered market, liquidations in a list of their own, recent ones with the
acknowledgment."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Client, Event
from pipelines.sandbox.venues.lighter import LISTINGS


@dataclass(frozen=True)
class LighterStream:
    """The stream with these listings, numbered in their order."""

    listings: Sequence[Listing] = LISTINGS
    paths: Sequence[str] = ("/stream",)
    ping_every: float | None = None
    tick_every: float | None = None

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        asked = json.loads(text)
        if asked["type"] == "ping":
            return [_text({"type": "pong"})]
        channel = str(asked["channel"])
        number = channel.removeprefix("trade/")
        if refused(channel) or not number.isdigit() or int(number) >= len(self.listings):
            return [_text({"error": {"code": 30005, "message": f"Invalid Channel: {channel}"}})]
        client.topics.add(channel)
        trade = _row(0, int(number), "trade", "1", "1", is_maker_ask=True, at=now)
        return [_frame("subscribed/trade", int(number), client, [trade], [])]

    def tick(self, client: Client, now: datetime) -> Sequence[str]:
        return ()

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        numbers = {x.instrument: number for number, x in enumerate(self.listings)}
        found = []
        for event in events:
            number = numbers[event.listing.instrument]
            if f"trade/{number}" in client.topics:
                found.append((_frame("update/trade", number, client, [], [_liquidation(event, number)]), [event]))
        return found


def _liquidation(event: Event, number: int) -> dict[str, Any]:
    scale = event.listing.multiplier
    # The number of an event counts up within its instrument; those of trades are the venue's.
    return _row(
        event.number * 1000 + number, number, "liquidation", f"{event.quantity_base / scale:.10g}", f"{event.price * scale:.10g}",
        is_maker_ask=event.side == "short", at=event.at,
    )  # fmt: skip


def _row(
    trade_id: int, number: int, kind: str, size: str, price: str, *, is_maker_ask: bool, at: datetime
) -> dict[str, Any]:
    return {
        "trade_id": trade_id, "trade_id_str": str(trade_id), "type": kind, "market_id": number, "size": size, "price": price,
        "usd_amount": str(float(size) * float(price)), "is_maker_ask": is_maker_ask, "block_height": 1,
        "timestamp": milliseconds(at), "transaction_time": milliseconds(at) * 1000,
    }  # fmt: skip


def _frame(
    kind: str, number: int, client: Client, trades: Sequence[dict[str, Any]], liquidations: Sequence[dict[str, Any]]
) -> str:
    client.state["nonce"] = int(client.state.get("nonce", 0)) + 1
    found = {"liquidation_trades": liquidations} if liquidations else {}
    return _text(
        {"type": kind, "channel": f"trade:{number}", "nonce": client.state["nonce"], "trades": trades, **found}
    )


def _text(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


SPEAKER: Final = LighterStream()
