"""dYdX v4's indexer: trades by market, of which some are liquidations or deleveragings. Facts from its source and documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import DATA, OTHER, Channel, Heard, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.records import LINE, Field, Records, kept, rejected
from pipelines.sources.streams import (
    from_connections,
    liquidations,
    read_events,
    sized,
    undecodable,
    unknown_instruments,
)

NAME: Final = "dydx"
CHANNEL: Final = "v4_trades"
FORCED: Final = {"LIQUIDATED": False, "DELEVERAGED": True}
"""Trade types with a forced close, and whether it was auto-deleveraging."""
SIDES: Final = {"SELL": "long", "BUY": "short"}
"""`side` is that of the TAKER's order (inferred, as for REST)."""

EVENTS: Final = (
    Field("market", "instrument", str),
    Field("id", "trade_id", str),
    Field("side", "taker", str),
    Field("size", "amount", float),
    Field("price", "price", float),
    Field("type", "kind", str),
    Field("createdAt", "at_text", str),
)
RULES: Final = (Rule("full", "every trade of finalized blocks is pushed, with its type"),)


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """A topic per market listed now."""
    return {name: name for name in sorted(instruments.filter(pl.col("delisted_at").is_null())["instrument"])}


def subscribe(names: Sequence[str], number: int) -> str:
    """One market a frame."""
    return orjson.dumps({"type": "subscribe", "channel": CHANNEL, "id": names[0]}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is. The answer to a subscription repeats the recent trades of the market."""
    if payload.startswith((b'{"type":"channel_data"', b'{"type":"channel_batch_data"')):
        return DATA
    content = orjson.loads(payload)
    match content.get("type"):
        case "subscribed":
            return Heard("acknowledged", topics=(str(content["id"]),), is_alive=True)
        case "channel_data" | "channel_batch_data":
            return DATA
        case "error":
            return Heard("refused", message=str(content.get("message", "")))
    return OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The trades of a frame, with their market."""
    if content.get("channel") != CHANNEL or "contents" not in content:
        return ()
    contents = content["contents"]
    parts = contents if isinstance(contents, list) else [contents]
    return [{**trade, "market": content["id"]} for part in parts for trade in part["trades"]]


def timed(found: Records) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records with `at`, and those whose time cannot be read, as rejects."""
    frame = found.frame.with_columns(
        pl.col("at_text").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).alias("at")
    )
    untimed = rejected(
        frame.filter(pl.col("at").is_null()), reason="unparsable", field="at_text",
        detail="no instant like 2024-03-05T01:00:00.316Z",
    )  # fmt: skip
    return frame.filter(pl.col("at").is_not_null()), untimed


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced trades, in coin; deleveragings are kept apart."""
    found = read_events(pages, events, EVENTS)
    frame, untimed = timed(found)
    forced = kept(frame, pl.col("kind").is_in(list(FORCED)), "not_forced").with_columns(
        pl.col("taker").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        pl.col("kind").replace_strict(FORCED, return_dtype=pl.Boolean).alias("is_adl"),
    )
    known, unknown = sized(forced.filter(pl.col("side").is_not_null()), context)
    rows = liquidations(
        known, venue=NAME, rules=RULES, facts=("trade_id",), is_counted=False, venue_kind="perp_dex"
    ).sort(LINE)
    odd = undecodable(forced.filter(pl.col("side").is_null()), "side", "neither BUY nor SELL")
    yield from_connections(rows, found.rejects, untimed, unknown_instruments(unknown, "dYdX"), odd)


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Liquidations and deleveragings among the trades of the indexer, recorded from the websocket.",
    endpoints={"stream": "wss://indexer.dydx.trade"},
    channels=(
        Channel(
            name="trades",
            endpoint="stream",
            path="/v4/ws",
            topics=topics,
            subscribe=subscribe,
            topics_per_frame=1,
            # 2 subscriptions a second, per channel and market; slower, since there are hundreds of markets.
            pause=0.1,
        ),
    ),
    classify=classify,
    keep_alive=KeepAlive(every=20.0, stalled_after=45.0),
    parse=parse,
    rules=RULES,
    since=date(2023, 10, 26),
    side="order of the taker: SELL closed a long (inferred)",
    unit="coin",
    identity="id of the trade",
    connects=(10, 60.0),
)
