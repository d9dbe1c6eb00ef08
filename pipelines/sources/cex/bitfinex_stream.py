"""Bitfinex's public websocket: liquidations of all symbols. Facts from Bitfinex's documentation and public recorders ("?": open).

Frames are arrays by channel number; of a position there is a trigger and several executions, of which only the latter have a price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import ALIVE, DATA, EVERY_INSTRUMENT, OTHER, Channel, Heard, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.records import Field, from_ms, kept
from pipelines.sources.streams import from_connections, liquidations, read_events, sized, unknown_instruments

NAME: Final = "bitfinex"
DERIVATIVE: Final = "F0:USTF0"
TOPIC: Final = "liq:global"
SEQUENCE_AND_TIME: Final = 65536 + 32768
"""Flags that add a sequence number and a timestamp to each frame."""

LEAVING: Final = (20051, 20060)
"""Codes by which the server asks to reconnect, or says that maintenance begins."""

EVENTS: Final = (
    Field("position", "position", str),
    Field("at_ms", "at_ms", int),
    Field("instrument", "instrument", str),
    Field("amount", "amount", float),
    Field("is_match", "is_match", int),
    Field("price", "price", float, optional=True),
    Field("amount", "amount_text", str),
    Field("price", "price_text", str, optional=True),
)
RULES: Final = (Rule("full", "every trigger and execution, by the documentation"),)


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic carries all symbols, margin positions of spot pairs included."""
    return {TOPIC: EVERY_INSTRUMENT}


def subscribe(names: Sequence[str], number: int) -> str:
    """One topic a frame."""
    return orjson.dumps({"event": "subscribe", "channel": "status", "key": names[0]}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is: arrays are heartbeats or data."""
    if payload.startswith(b"["):
        return ALIVE if b'"hb"' in payload[:40] else DATA
    content = orjson.loads(payload)
    match content.get("event"):
        case "subscribed":
            return Heard("acknowledged", topics=(str(content["key"]),))
        case "error":
            return Heard("refused", message=f"{content.get('code')}: {content.get('msg')}")
        case "pong":
            return ALIVE
        case "info" if content.get("code") in LEAVING:
            return Heard("reconnect", message=str(content.get("msg", "")))
    return OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a push. Times may have a fraction of a millisecond."""
    if not isinstance(content, list) or not isinstance(content[1], list):
        return ()
    rows = content[1] if isinstance(content[1][0], list) else [content[1]]
    return [
        {
            "position": row[1], "at_ms": int(row[2]), "instrument": row[4], "amount": row[5], "is_match": row[8],
            "price": row[11],
        }
        for row in rows
    ]  # fmt: skip


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Executed liquidations of perpetuals, in coin; amount > 0 is a long POSITION. The first push repeats old rows."""
    found = read_events(pages, events, EVENTS)
    perpetual = kept(found.frame, pl.col("instrument").str.ends_with(DERIVATIVE), "other_kind")
    frame = kept(perpetual, pl.col("is_match") == 1, "part_of_row").with_columns(
        from_ms("at_ms").alias("at"),
        pl.when(pl.col("amount") > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        pl.col("price_text").fill_null(""),
        pl.lit(value=False).alias("is_adl"),
    )
    known, unknown = sized(frame, context)
    facts = ("position", "at_ms", "instrument", "amount_text", "price_text")
    rows = liquidations(known, venue=NAME, rules=RULES, facts=facts, is_counted=False)
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "Bitfinex"))


def ping(now: datetime) -> str:
    """Answered with a pong; heartbeats come every 15 s by themselves once something is subscribed."""
    return '{"event":"ping","cid":1}'


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="All executed liquidations of perpetuals, recorded from the websocket.",
    endpoints={"stream": "wss://api-pub.bitfinex.com"},
    channels=(
        Channel(
            name="public",
            endpoint="stream",
            path="/ws/2",
            topics=topics,
            subscribe=subscribe,
            greeting=(orjson.dumps({"event": "conf", "flags": SEQUENCE_AND_TIME}).decode(),),
            topics_per_frame=1,
        ),
    ),
    classify=classify,
    keep_alive=KeepAlive(every=15.0, stalled_after=35.0, request=ping),
    parse=parse,
    rules=RULES,
    since=date(2019, 9, 1),
    side="position: an amount above zero is a long",
    unit="coin; price at which the position was closed",
    identity="position, time, symbol, amount and price",
    # 20 connections a minute.
    connects=(15, 60.0),
)
