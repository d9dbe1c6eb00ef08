"""Bybit's public websocket: all liquidations, by symbol. Facts from Bybit's v5 documentation and from public recorders ("?": open).

The only place where Bybit tells of liquidations; REST has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import ALIVE, DATA, OTHER, Channel, Heard, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.cex.bybit.wire import NAME
from pipelines.sources.records import Field, from_ms
from pipelines.sources.streams import (
    from_connections,
    liquidations,
    read_events,
    sized,
    undecodable,
    unknown_instruments,
)

TOPIC: Final = "allLiquidation."
EVENTS: Final = (
    Field("T", "at_ms", int),
    Field("s", "instrument", str),
    Field("S", "position", str),
    # The texts tell equal events apart, the numbers are their values.
    Field("v", "size", str),
    Field("p", "price_text", str),
    Field("v", "amount", float),
    Field("p", "price", float),
)
SIDES: Final = {"Buy": "long", "Sell": "short"}
"""`S` is the side of the POSITION: Buy is a long that was liquidated. Measured against Bybit's own book, 30 of 30."""

RULES: Final = (Rule("full", "documented: all liquidations, pushed every 500 ms", datetime(2025, 2, 20)),)


def topics(instruments: pl.DataFrame, *, contract_type: str) -> Mapping[str, str]:
    """A topic per contract listed now. One that is not listed would make Bybit refuse its whole frame."""
    listed = instruments.filter((pl.col("contract_type") == contract_type) & pl.col("delisted_at").is_null())
    return {f"{TOPIC}{name}": name for name in sorted(listed["instrument"])}


def subscribe(names: Sequence[str], number: int) -> str:
    """Bybit repeats `req_id` in its answer, to all topics of the frame at once."""
    return orjson.dumps({"op": "subscribe", "req_id": str(number), "args": list(names)}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is; data frames begin with their topic."""
    if payload.startswith(b'{"topic":"allLiquidation.'):
        return DATA
    content = orjson.loads(payload)
    if content.get("op") in ("ping", "pong"):
        return ALIVE
    if content.get("op") == "subscribe":
        request = content.get("req_id") or ""
        number = int(request) if str(request).isdecimal() else None
        if content.get("success"):
            return Heard("acknowledged", request=number)
        return Heard("refused", request=number, message=str(content.get("ret_msg", "")))
    return DATA if "topic" in content else OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a push; answers and pongs have none."""
    return content["data"] if content.get("topic", "").startswith(TOPIC) else ()


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidations of perpetuals. `v` is in coin on linear contracts and in dollars on inverse ones; `p` is that of bankruptcy."""
    found = read_events(pages, events, EVENTS)
    frame = found.frame.with_columns(
        from_ms("at_ms").alias("at"),
        pl.col("position").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        pl.lit(value=False).alias("is_adl"),
    )
    known, unknown = sized(frame.filter(pl.col("side").is_not_null()), context)
    rows = liquidations(
        known, venue=NAME, rules=RULES, facts=("instrument", "position", "at_ms", "size", "price_text"), is_counted=True
    )
    odd = undecodable(frame.filter(pl.col("side").is_null()), "S", "neither Buy nor Sell")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "Bybit"), odd)


def ping(now: datetime) -> str:
    """Asked every 20 s; without it, and without data, Bybit closes after ten minutes."""
    return '{"op":"ping"}'


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="All liquidations of linear and inverse perpetuals, recorded from the websocket.",
    endpoints={"stream": "wss://stream.bybit.com"},
    channels=tuple(
        Channel(
            name=kind,
            endpoint="stream",
            path=f"/v5/public/{kind}",
            topics=partial(topics, contract_type=kind),
            subscribe=subscribe,
            topics_per_frame=100,
            # At most 21,000 characters of topics "for one connection": read strictly, about 800 of them.
            topics_per_connection=700,
        )
        for kind in ("linear", "inverse")
    ),
    classify=classify,
    keep_alive=KeepAlive(every=20.0, stalled_after=35.0, request=ping),
    parse=parse,
    rules=RULES,
    since=date(2025, 2, 20),
    side="position: Buy is a long",
    unit="coin on linear contracts, dollars on inverse ones; price of bankruptcy",
    identity="symbol, side, time, size and price, counted within a connection",
    is_counted=True,
    # 500 new connections in five minutes.
    connects=(100, 300.0),
)
