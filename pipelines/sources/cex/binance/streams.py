"""Binance's public websocket: forced orders of USDT-margined and coin-margined contracts, merged on one host since 2026-06-30.

Facts from Binance's documentation and from public recorders ("?": open). An acknowledgment proves nothing: since 2026-04-23 the old
path acknowledges and stays silent, so a busy topic on the same path is the control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import ALIVE, DATA, EVERY_INSTRUMENT, OTHER, Channel, Heard, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.records import Field, from_ms, kept
from pipelines.sources.streams import (
    from_connections,
    liquidations,
    read_events,
    sized,
    undecodable,
    unknown_instruments,
)

NAME: Final = "binance"
TOPIC: Final = "!forceOrder@arr"
EVENTS: Final = (
    Field("s", "instrument", str),
    Field("S", "order_side", str),
    Field("T", "at_ms", int),
    Field("q", "ordered", str),
    Field("p", "limit", str),
    Field("z", "filled", str),
    # z is all that was filled of the order; l, its last fill, may be far less. ap is the average price of the fills.
    Field("z", "amount", float),
    Field("ap", "price", float),
)
SIDES: Final = {"SELL": "long", "BUY": "short"}
"""`S` is the side of the ORDER: a forced sell closed a long."""

DATED: Final = r"_\d{6}$"
RULES: Final = (
    Rule("full", "all forced orders, by the change log of 2021-04-27"),
    Rule(
        "throttled",
        "at most one order per symbol in 1,000 ms; the largest of them by the documents since 2026-04-10, the latest before (?)",
        datetime(2021, 4, 27),
        per_second=1.0,
    ),
)


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic carries both kinds of contracts; the other host would send every event twice."""
    return {TOPIC: EVERY_INSTRUMENT}


def subscribe(names: Sequence[str], number: int) -> str:
    """Binance repeats `id` in its answer."""
    return orjson.dumps({"method": "SUBSCRIBE", "params": list(names), "id": number}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is. Only the busy topic and events show that the path delivers; answers to requests do not."""
    if b'"forceOrder"' in payload:
        return DATA
    if b'"markPriceUpdate"' in payload:
        return ALIVE
    content = orjson.loads(payload)
    number = content.get("id")
    if "error" in content or "code" in content:
        error = content.get("error") or content
        return Heard("refused", request=number, message=str(error.get("msg", error)))
    return Heard("acknowledged", request=number) if content.get("result", 0) is None else OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The order of a push, alone or inside a combined stream."""
    push = content.get("data", content)
    return [push["o"]] if push.get("e") == "forceOrder" else ()


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced orders of perpetuals: quantities are coin on USDT-margined contracts and contracts (100 dollars of bitcoin, 10 of
    others) on coin-margined ones, which the list of instruments tells apart, as frames without `st` do not."""
    found = read_events(pages, events, EVENTS)
    timed = found.frame.with_columns(from_ms("at_ms").alias("at"))
    perpetual = kept(timed, ~pl.col("instrument").str.contains(DATED), "other_kind")
    filled = kept(perpetual, pl.col("amount") > 0, "no_value").with_columns(
        pl.col("order_side").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        pl.lit(value=False).alias("is_adl"),
    )
    known, unknown = sized(filled.filter(pl.col("side").is_not_null()), context)
    facts = ("instrument", "order_side", "at_ms", "ordered", "limit", "filled")
    rows = liquidations(known, venue=NAME, rules=RULES, facts=facts, is_counted=False)
    odd = undecodable(filled.filter(pl.col("side").is_null()), "S", "neither BUY nor SELL")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "Binance"), odd)


def listed(now: datetime) -> str:
    """A request that is answered, against proxies that close quiet connections. Its answer proves nothing."""
    return '{"method":"LIST_SUBSCRIPTIONS","id":0}'


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
            topics=topics,
            subscribe=subscribe,
            control=("btcusdt@markPrice",),
        ),
    ),
    classify=classify,
    # The control pushes every 3 seconds.
    keep_alive=KeepAlive(every=180.0, stalled_after=20.0, request=listed, pong_counts=False),
    parse=parse,
    rules=RULES,
    since=date(2026, 6, 30),
    side="order: a forced SELL closed a long",
    unit="coin (USDT-margined), contracts of 100 or 10 dollars (coin-margined); average price of the fills",
    identity="symbol, side, time, quantity, limit price and filled quantity; there is one a second",
    forced_end=timedelta(hours=24),
    connects=(20, 300.0),
)
