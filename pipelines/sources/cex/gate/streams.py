"""Gate's public websocket: liquidations of perpetuals. Facts from Gate's documentation and public readers ("?": open).

Which side the sign of `size` means is not known: REST has both signs, and public readers are split. What was recorded is landed and
lies in quarantine as undecodable until `leverhouse record --verify gate` has matched it with REST rows; no side is guessed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import (
    ALIVE,
    DATA,
    EVERY_INSTRUMENT,
    OTHER,
    Channel,
    Heard,
    KeepAlive,
    Rule,
    Stream,
    epoch_seconds,
)
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.records import Field, from_ms
from pipelines.sources.streams import from_connections, liquidations, read_events, sized, undecodable

NAME: Final = "gate"
CHANNEL: Final = "futures.public_liquidates"
EVENTS: Final = (
    Field("contract", "instrument", str),
    Field("stamp", "stamp", int),
    Field("size", "size", str),
    Field("price", "price_text", str),
    Field("size", "amount", float),
    Field("price", "price", float),
)
SECONDS_BELOW: Final = 100_000_000_000
"""A stamp below this is in seconds, above it in milliseconds: the documents have had both under one name."""

RULES: Final = (
    Rule("throttled", "at most one per contract and second, by the change log", per_second=1.0),
    Rule("full", "all of a second, by the change log of 2026-08-20", datetime(2026, 8, 20)),
)


def topics(instruments: pl.DataFrame, *, settled_in: str) -> Mapping[str, str]:
    """One topic for all contracts of a settlement; in bitcoin there is one contract."""
    return {"!all": EVERY_INSTRUMENT if settled_in == "usdt" else "BTC_USD"}


def subscribe(names: Sequence[str], number: int) -> str:
    """Gate wants the time of the request."""
    asked = {"time": int(time.time()), "channel": CHANNEL, "event": "subscribe", "payload": list(names)}
    return orjson.dumps(asked).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is."""
    content = orjson.loads(payload)
    if content.get("channel") == "futures.pong":
        return ALIVE
    if content.get("error"):
        error = content["error"]
        return Heard("refused", message=f"{error.get('code')}: {error.get('message')}")
    if content.get("event") == "subscribe":
        return Heard("acknowledged")
    return DATA if content.get("channel") == CHANNEL else OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a push, with their time under one name."""
    if content.get("channel") != CHANNEL or content.get("event") != "update":
        return ()
    return [{**row, "stamp": row.get("time_ms", row.get("time"))} for row in content["result"]]


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """No rows yet: the side is not known, so every event is kept in quarantine as undecodable."""
    found = read_events(pages, events, EVENTS)
    is_seconds = pl.col("stamp") < SECONDS_BELOW
    frame = found.frame.with_columns(
        pl.when(is_seconds).then(pl.col("stamp") * 1000).otherwise("stamp").alias("at_ms")
    ).with_columns(
        from_ms("at_ms").alias("at"), pl.lit(None, pl.String).alias("side"), pl.lit(value=False).alias("is_adl")
    )
    known, _ = sized(frame.filter(pl.col("side").is_not_null()), context)
    facts = ("instrument", "at_ms", "size", "price_text")
    rows = liquidations(known, venue=NAME, rules=RULES, facts=facts, is_counted=True)
    unsided = undecodable(frame, "size", "which side the sign of size means is not known (docs/recorder.md)")
    yield from_connections(rows, found.rejects, unsided)


def ping(now: datetime) -> str:
    """Answered with futures.pong."""
    return orjson.dumps({"time": int(epoch_seconds(now)), "channel": "futures.ping"}).decode()


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="All liquidations of perpetuals since 2026-08-20; landed, and without a side until that is verified.",
    endpoints={"stream": "wss://fx-ws.gateio.ws"},
    channels=tuple(
        Channel(
            name=settled_in,
            endpoint="stream",
            path=f"/v4/ws/{settled_in}",
            topics=partial(topics, settled_in=settled_in),
            subscribe=subscribe,
            # Sizes of fractional contracts are sent as text then.
            headers={"X-Gate-Size-Decimal": "1"},
        )
        for settled_in in ("usdt", "btc")
    ),
    classify=classify,
    keep_alive=KeepAlive(every=10.0, stalled_after=25.0, request=ping),
    parse=parse,
    rules=RULES,
    since=date(2025, 2, 19),
    side="the sign of size; order or position: not known",
    unit="contracts; price of the order (?)",
    identity="contract, time, size and price, counted within a connection",
    is_counted=True,
    connects=(20, 60.0),
)
