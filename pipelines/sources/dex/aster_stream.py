"""Aster's public websocket: forced orders of all perpetuals, in Binance's wire format. Facts from Aster's documentation and
recorders ("?": open)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from pipelines.extract.stream import Channel, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources import forced_orders

NAME: Final = "aster"
RULES: Final = (
    Rule("throttled", "at most one order per symbol in 1,000 ms, the latest by the documents (?)", per_second=1.0),
)


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced orders, in units of the instrument."""
    yield from forced_orders.parse(
        pages, context, venue=NAME, label="Aster", rules=RULES, venue_kind="perp_dex"
    )  # fmt: skip


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Forced orders of perpetuals, at most one per symbol and second.",
    endpoints={"stream": "wss://fstream.asterdex.com"},
    channels=(
        Channel(
            name="market",
            endpoint="stream",
            path="/ws",
            topics=forced_orders.topics,
            subscribe=forced_orders.subscribe,
            control=(forced_orders.CONTROL,),
        ),
    ),
    classify=forced_orders.classify,
    # The control pushes every 3 seconds.
    keep_alive=KeepAlive(every=180.0, stalled_after=20.0, request=forced_orders.listed, pong_counts=False),
    parse=parse,
    rules=RULES,
    since=date(2026, 9, 1),
    side="order: a forced SELL closed a long",
    unit="coin; average price of the fills",
    identity="symbol, side, time, quantity, limit price and filled quantity; there is one a second",
    forced_end=timedelta(hours=24),
    connects=(20, 300.0),
)
