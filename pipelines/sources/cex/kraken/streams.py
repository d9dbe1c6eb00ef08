"""Kraken Futures' public websocket: trades, of which some are liquidations. Facts from Kraken's documentation ("?": open).

REST has no list of them. Assignments to backstop providers and unwinds are not among these trades.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import ALIVE, DATA, OTHER, Channel, Heard, KeepAlive, Rule, Stream
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

NAME: Final = "kraken"
HEARTBEAT: Final = "heartbeat"
FORCED: Final = ("liquidation", "termination")
EVENTS: Final = (
    Field("product_id", "instrument", str),
    Field("uid", "uid", str),
    Field("side", "taker", str),
    Field("type", "kind", str),
    Field("time", "at_ms", int),
    Field("qty", "amount", float),
    Field("price", "price", float),
)
SIDES: Final = {"sell": "long", "buy": "short"}
"""`side` is that of the TAKER's order (inferred: a liquidation takes)."""

RULES: Final = (Rule("full", "every trade is pushed, with its kind"),)
INVALID: Final = re.compile(r"`([^`]+)`")


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """A topic per perpetual listed now."""
    kinds = pl.col("contract_type").is_in(["linear", "inverse"]) & pl.col("delisted_at").is_null()
    return {name: name for name in sorted(instruments.filter(kinds)["instrument"])}


def subscribe(names: Sequence[str], number: int) -> str:
    """Trades of products; the heartbeat is a feed of its own."""
    if list(names) == [HEARTBEAT]:
        return '{"event":"subscribe","feed":"heartbeat"}'
    return orjson.dumps({"event": "subscribe", "feed": "trade", "product_ids": list(names)}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is. An unknown product is named in an alert."""
    content = orjson.loads(payload)
    match content.get("event"):
        case "subscribed":
            return Heard("acknowledged", topics=tuple(content.get("product_ids", (HEARTBEAT,))), is_alive=True)
        case "alert" | "error":
            message = str(content.get("message", ""))
            named = INVALID.search(message)
            return Heard("refused", topics=(named[1],) if named else (), message=message)
    match content.get("feed"):
        case "trade" | "trade_snapshot":
            return DATA
        case "heartbeat":
            return ALIVE
    return OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """One trade, or those of a snapshot, which repeats the last hundred of a product."""
    match content.get("feed"):
        case "trade" if "uid" in content:
            return [content]
        case "trade_snapshot":
            trades: Sequence[Mapping[str, Any]] = content["trades"]
            return trades
    return ()


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidations and terminations of perpetuals; quantities are dollars (PI_) or coin (PF_)."""
    found = read_events(pages, events, EVENTS)
    forced = kept(found.frame, pl.col("kind").is_in(FORCED), "not_forced").with_columns(
        from_ms("at_ms").alias("at"),
        pl.col("taker").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        pl.lit(value=False).alias("is_adl"),
    )
    known, unknown = sized(forced.filter(pl.col("side").is_not_null()), context)
    rows = liquidations(known, venue=NAME, rules=RULES, facts=("instrument", "uid"), is_counted=False)
    odd = undecodable(forced.filter(pl.col("side").is_null()), "side", "neither buy nor sell")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "Kraken"), odd)


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Liquidations and terminations among the trades of perpetuals, recorded from the websocket.",
    endpoints={"stream": "wss://futures.kraken.com"},
    channels=(
        Channel(
            name="trades",
            endpoint="stream",
            path="/ws/v1",
            topics=topics,
            subscribe=subscribe,
            control=(HEARTBEAT,),
            topics_per_frame=50,
        ),
    ),
    classify=classify,
    keep_alive=KeepAlive(every=30.0, stalled_after=65.0),
    parse=parse,
    rules=RULES,
    since=date(2019, 1, 1),
    side="order of the taker: sell closed a long (inferred)",
    unit="dollars (PI_), coin (PF_)",
    identity="uid of the trade",
    connects=(20, 60.0),
)
