"""Binance's public websocket: forced orders of USDT-margined and coin-margined contracts, merged on one host since 2026-06-30.

Facts from Binance's documentation and from public recorders ("?": open). An acknowledgment proves nothing: since 2026-04-23 the old
path acknowledges and stays silent, so a busy topic on the same path is the control.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from pipelines.extract.stream import Channel, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources import forced_orders

NAME: Final = "binance"
RULES: Final = (
    Rule("full", "all forced orders, by the change log of 2021-04-27"),
    Rule(
        "throttled",
        "at most one order per symbol in 1,000 ms; the largest of them by the documents since 2026-04-10, the latest before (?)",
        datetime(2021, 4, 27),
        per_second=1.0,
    ),
)


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced orders of perpetuals: quantities are coin on USDT-margined contracts and contracts (100 dollars of bitcoin, 10 of
    others) on coin-margined ones, which the list of instruments tells apart, as frames without `st` do not. One topic carries
    both; the other host would send every event twice."""
    yield from forced_orders.parse(pages, context, venue=NAME, label="Binance", rules=RULES)


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Forced orders of USDT-margined and coin-margined perpetuals, at most one per symbol and second.",
    endpoints={"stream": "wss://fstream.binance.com"},
    channels=(
        Channel(
            name="market",
            endpoint="stream",
            # Unrouted paths (/ws, /stream) open, acknowledge and stay silent since 2026-04-23.
            path="/market/ws",
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
    since=date(2026, 6, 30),
    side="order: a forced SELL closed a long",
    unit="coin (USDT-margined), contracts of 100 or 10 dollars (coin-margined); average price of the fills",
    identity="symbol, side, time, quantity, limit price and filled quantity; there is one a second",
    forced_end=timedelta(hours=24),
    connects=(20, 300.0),
)
