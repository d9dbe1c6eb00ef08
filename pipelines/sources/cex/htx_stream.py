"""HTX's public websockets: liquidation orders of swaps in USDT and in coin. Facts from HTX's documentation and recorders ("?":
open).

Every frame is gzip in a binary message. The venue pings every 5 seconds with a text of its own, whose time is repeated as it came:
a string or a number. After five that are unanswered it closes. No login is needed, although the documentation says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import DATA, EVERY_INSTRUMENT, OTHER, Channel, Heard, KeepAlive, Rule, Stream, inflated
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

NAME: Final = "htx"
ALL: Final = "public.*.liquidation_orders"
REPEATED: Final = 2014
"""A topic that is subscribed already, or part of one that is."""

EVENTS: Final = (
    Field("contract_code", "instrument", str),
    Field("direction", "direction", str),
    Field("created_at", "at_ms", int),
    Field("volume", "amount", float),
    Field("price", "price", float),
    Field("volume", "volume_text", str),
    Field("price", "price_text", str),
)
SIDES: Final = {"sell": "long", "buy": "short"}
"""`direction` is that of the closing ORDER, as over REST, although a column of the documentation calls it long or short."""

DATED: Final = r"\d{6}$"
RULES: Final = (Rule("sampled", "no document says whether all are pushed (?)"),)


def of_tether(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic carries all swaps in USDT."""
    return {ALL: EVERY_INSTRUMENT}


def of_coin(instruments: pl.DataFrame) -> Mapping[str, str]:
    """A topic per swap in coin, of which there are few: what is heard of them is known by contract."""
    inverse = instruments.filter(pl.col("contract_type") == "inverse")
    return {f"public.{name}.liquidation_orders": name for name in sorted(inverse["instrument"])}


def subscribe(names: Sequence[str], number: int) -> str:
    """One topic a frame; HTX repeats `cid`."""
    return orjson.dumps({"op": "sub", "cid": str(number), "topic": names[0]}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is. Only pings and events show that the connection delivers."""
    content = orjson.loads(inflated(payload))
    code = content.get("err-code", 0)
    match content.get("op"):
        case "notify":
            return DATA
        case "ping":
            reply = orjson.dumps({"op": "pong", "ts": content["ts"]}).decode()
            return Heard("alive", reply=reply, is_alive=True)
        case "sub" if code in (0, REPEATED):
            return Heard("acknowledged", topics=(str(content["topic"]),))
        case "sub" | "error":
            topics = (str(content["topic"]),) if "topic" in content else ()
            return Heard("refused", topics=topics, message=f"{code}: {content.get('err-msg', '')}")
        case "close":
            return Heard("reconnect", message=str(content.get("err-msg", "close")))
    return OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The orders of a push."""
    return content["data"] if content.get("op") == "notify" else ()


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidation orders of swaps, in contracts; the price is that of bankruptcy. Older rows lack amount and turnover, which are
    worked out from the contracts for all."""
    found = read_events(pages, events, EVENTS)
    swaps = kept(found.frame, ~pl.col("instrument").str.contains(DATED), "other_kind").with_columns(
        from_ms("at_ms").alias("at"),
        pl.col("direction").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        pl.lit(value=False).alias("is_adl"),
    )
    is_decodable = (pl.col("side").is_not_null() & (pl.col("amount") > 0)).fill_null(value=False)
    known, unknown = sized(swaps.filter(is_decodable), context)
    facts = ("instrument", "direction", "at_ms", "volume_text", "price_text")
    rows = liquidations(known, venue=NAME, rules=RULES, facts=facts, is_counted=True)
    odd = undecodable(swaps.filter(~is_decodable), "direction", "neither buy nor sell, or without contracts")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "HTX"), odd)


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Liquidation orders of swaps in USDT and in coin, recorded from the websocket.",
    endpoints={"stream": "wss://api.hbdm.com"},
    channels=tuple(
        Channel(name=name, endpoint="stream", path=path, topics=topics, subscribe=subscribe, topics_per_frame=1, pause=0.1)
        for name, path, topics in (
            ("linear", "/linear-swap-notification", of_tether),
            ("inverse", "/swap-notification", of_coin),
        )
    ),
    classify=classify,
    # The venue pings every 5 s; five of them missing are its own measure.
    keep_alive=KeepAlive(every=20.0, stalled_after=30.0, pong_counts=False),
    parse=parse,
    rules=RULES,
    since=date(2020, 7, 1),
    side="order: a sell closed a long",
    unit="contracts; price of bankruptcy",
    identity="contract, direction, time, contracts and price, counted within a connection",
    is_counted=True,
    connects=(10, 60.0),
)  # fmt: skip
