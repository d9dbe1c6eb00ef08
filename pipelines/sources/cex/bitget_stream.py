"""Bitget's public websocket (v3): liquidations by family of contracts. Facts from Bitget's UTA documentation and recorders
("?": open).

A subscription names no symbol: with symbols it is acknowledged and stays silent. An answered ping shows that the connection lives,
and not that the topic delivers: trades went on beside a topic that said nothing.
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

NAME: Final = "bitget"
TOPIC: Final = "liquidation"
MARGINED_IN_COIN: Final = "coin-futures"
KINDS: Final = {
    "usdt-futures": EVERY_INSTRUMENT,
    "usdc-futures": "USDC-FUTURES",
    MARGINED_IN_COIN: "COIN-FUTURES",
}
"""Families of contracts, and what the topic of each is counted as. Nearly all perpetuals are margined in USDT."""

EVENTS: Final = (
    Field("symbol", "instrument", str),
    Field("side", "bought", str),
    Field("ts", "at_ms", int),
    Field("price", "price", float),
    Field("amount", "quote", float),
    Field("price", "price_text", str),
    Field("amount", "amount_text", str),
    Field("family", "family", str),
)
SIDES: Final = {"buy": "long", "sell": "short"}
"""`side` is that of the POSITION."""

RULES: Final = (
    Rule(
        "throttled",
        "per symbol and second the largest long and the largest short, by the documentation",
        per_second=2.0,
    ),
)


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic a family."""
    return KINDS


def subscribe(names: Sequence[str], number: int) -> str:
    """Bitget answers each topic by itself."""
    return orjson.dumps(
        {"op": "subscribe", "args": [{"instType": name, "topic": TOPIC} for name in names]}
    ).decode()  # fmt: skip


def classify(payload: bytes) -> Heard:
    """What a frame is; a pong is a word, and no JSON."""
    if payload == b"pong":
        return ALIVE
    content = orjson.loads(payload)
    argument = content.get("arg") or {}
    of = (str(argument["instType"]),) if "instType" in argument else ()
    match content.get("event"):
        case "subscribe":
            return Heard("acknowledged", topics=of)
        case "error":
            return Heard("refused", topics=of, message=f"{content.get('code')}: {content.get('msg')}")
    return DATA if "data" in content else OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a push, which may be 20 seconds old, each with its family."""
    if isinstance(content, str) or content.get("arg", {}).get("topic") != TOPIC or "data" not in content:
        return ()
    return [{**row, "family": content["arg"]["instType"]} for row in content["data"]]


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidations of perpetuals margined in USDT and USDC: `amount` is the quote coin, since amount / price is a round quantity
    in the recorded frames. Contracts margined in coin are landed and read by no table, as over REST."""
    found = read_events(pages, events, EVENTS)
    linear = kept(
        found.frame.with_columns(from_ms("at_ms").alias("at")), pl.col("family") != MARGINED_IN_COIN, "other_kind"
    )
    read = linear.with_columns(
        pl.col("bought").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        (pl.col("quote") / pl.col("price")).alias("amount"),
        pl.lit(value=False).alias("is_adl"),
    )
    is_decodable = (pl.col("side").is_not_null() & (pl.col("quote") > 0) & (pl.col("price") > 0)).fill_null(value=False)
    known, unknown = sized(read.filter(is_decodable), context)
    facts = ("instrument", "at_ms", "bought", "price_text", "amount_text")
    rows = liquidations(known, venue=NAME, rules=RULES, facts=facts, is_counted=True)
    odd = undecodable(read.filter(~is_decodable), "side", "neither buy nor sell, or without an amount")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "Bitget"), odd)


def ping(now: datetime) -> str:
    """A word, every 30 s; after two minutes without, the venue closes."""
    return "ping"


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="The largest liquidations of a perpetual, side and second, recorded from the websocket.",
    endpoints={"stream": "wss://ws.bitget.com"},
    channels=(
        Channel(
            name="public",
            endpoint="stream",
            path="/v3/ws/public",
            topics=topics,
            subscribe=subscribe,
            topics_per_frame=5,
        ),
    ),
    classify=classify,
    keep_alive=KeepAlive(every=25.0, stalled_after=60.0, request=ping),
    parse=parse,
    rules=RULES,
    since=date(2025, 11, 1),
    side="position: buy is a long",
    unit="quote coin; the price is near that of bankruptcy (?)",
    identity="symbol, side, time, price and amount, counted within a connection",
    is_counted=True,
    forced_end=timedelta(hours=24),
    # 300 connections in 5 minutes.
    connects=(60, 300.0),
)
