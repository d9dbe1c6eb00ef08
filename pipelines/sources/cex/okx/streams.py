"""OKX's public websocket: liquidation orders of swaps and futures. Facts from OKX's v5 documentation and recorders ("?": open).

The documentation says itself that these are not all liquidations; how many are missing is not known.
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
from pipelines.sources.streams import (
    from_connections,
    liquidations,
    read_events,
    sized,
    undecodable,
    unknown_instruments,
)

NAME: Final = "okx"
CHANNEL: Final = "liquidation-orders"
SWAPS: Final = f"{CHANNEL} SWAP"
FUTURES: Final = f"{CHANNEL} FUTURES"
EVENTS: Final = (
    Field("instId", "instrument", str),
    Field("instType", "kind", str),
    Field("posSide", "position_side", str),
    Field("side", "order_side", str),
    Field("bkPx", "price", float),
    Field("sz", "amount", float),
    Field("ts", "at_ms", int),
    Field("bkPx", "price_text", str),
    Field("sz", "size", str),
)
BY_ORDER: Final = {"sell": "long", "buy": "short"}
RULES: Final = (Rule("sampled", "documented as not all liquidations; at most one per contract and second by some (?)"),)


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic per type of instrument. Dated futures are landed and read by no table."""
    return {SWAPS: EVERY_INSTRUMENT, FUTURES: "FUTURES"}


def subscribe(names: Sequence[str], number: int) -> str:
    """OKX answers each topic by itself."""
    parts = [name.split(" ") for name in names]
    return orjson.dumps(
        {"op": "subscribe", "args": [{"channel": channel, "instType": kind} for channel, kind in parts]}
    ).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is; a pong is a word, and no JSON."""
    if payload == b"pong":
        return ALIVE
    content = orjson.loads(payload)
    match content.get("event"):
        case "subscribe":
            argument = content["arg"]
            return Heard("acknowledged", topics=(f"{argument['channel']} {argument['instType']}",))
        case "error":
            return Heard("refused", message=f"{content.get('code')}: {content.get('msg')}")
        case "notice":
            # Announces that the connection will be closed for an upgrade.
            return Heard("reconnect", message=str(content.get("msg", "")))
    return DATA if "data" in content else OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The details of a push, each with its instrument."""
    if isinstance(content, str) or "data" not in content:
        return ()
    return [
        {**detail, "instId": row["instId"], "instType": row["instType"]}
        for row in content["data"]
        for detail in row["details"]
    ]


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidations of swaps, in contracts; the price is that of bankruptcy. Rows come out of order, and the first push may repeat
    old ones: both are told apart by identity.

    posSide is the POSITION; in net mode it is `net`, and the order decides: a sell closed a long.
    """
    found = read_events(pages, events, EVENTS)
    swaps = kept(found.frame.with_columns(from_ms("at_ms").alias("at")), pl.col("kind") == "SWAP", "other_kind")
    position = pl.col("position_side")
    by_order = pl.col("order_side").replace_strict(BY_ORDER, default=None, return_dtype=pl.String)
    sided = swaps.with_columns(
        pl.when(position.is_in(["long", "short"])).then(position).otherwise(by_order).alias("side"),
        pl.lit(value=False).alias("is_adl"),
    )
    # A forced order closes its position; contradicting sides cannot be decoded.
    is_decodable = (by_order.is_not_null() & (pl.col("side") == by_order)).fill_null(value=False)
    known, unknown = sized(sided.filter(is_decodable), context)
    facts = ("instrument", "position_side", "order_side", "at_ms", "size", "price_text")
    rows = liquidations(known, venue=NAME, rules=RULES, facts=facts, is_counted=True)
    odd = undecodable(sided.filter(~is_decodable), "posSide", "posSide and side contradict each other")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "OKX"), odd)


def ping(now: datetime) -> str:
    """A word; a connection that is silent for 30 s is closed with 4004."""
    return "ping"


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Liquidation orders of swaps; not all of them, by OKX's own words.",
    endpoints={"stream": "wss://ws.okx.com:8443"},
    channels=(Channel(name="public", endpoint="stream", path="/ws/v5/public", topics=topics, subscribe=subscribe),),
    classify=classify,
    keep_alive=KeepAlive(every=20.0, stalled_after=30.0, request=ping),
    parse=parse,
    rules=RULES,
    since=date(2023, 1, 1),
    side="position (posSide); in net mode the order's opposite",
    unit="contracts; price of bankruptcy",
    identity="contract, posSide, side, time, size and price, counted within a connection",
    is_counted=True,
    # 3 connection requests a second.
    connects=(3, 1.0),
)
