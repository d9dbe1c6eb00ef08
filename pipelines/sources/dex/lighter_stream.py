"""Lighter's public websocket: trades by market, of which some are liquidations. Facts from Lighter's documentation and recorders
("?": open).

Markets have numbers; the recorded segment says which market each of its topics was, so that its frames can be read by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import ALIVE, DATA, OTHER, Channel, Heard, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.records import Field, at_path, from_ms, having, kept, rejected
from pipelines.sources.streams import (
    from_connections,
    liquidations,
    markets_of_topics,
    read_events,
    sized,
    unknown_instruments,
)

NAME: Final = "lighter"
NUMBER: Final = "number"
FORCED: Final = {"liquidation": False, "deleverage": True}
"""Trade types with a forced close, and whether it was auto-deleveraging. Whether the second exists is open (?)."""

EVENTS: Final = (
    Field("market_id", "market", int),
    Field("trade_id", "trade_id", int),
    Field("type", "kind", str),
    Field("is_maker_ask", "is_maker_ask", bool),
    Field("size", "amount", float),
    Field("price", "price", float),
    Field("timestamp", "at_ms", int),
)
RULES: Final = (Rule("full", "every trade is pushed, liquidations in a list of their own"),)

is_perpetual = having("market_type", "^perp$")
details = at_path("order_book_details")


def numbers(pages: Sequence[Page]) -> Mapping[str, str]:
    """The numbers of the perpetuals by name, from the list of instruments."""
    return {
        str(one["symbol"]): str(one["market_id"])
        for page in pages
        for one in details(page)
        if isinstance(one, dict) and "symbol" in one and "market_id" in one and is_perpetual(one)
    }


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """A topic per market listed now, by its number."""
    known = instruments.filter(pl.col(NUMBER).is_not_null()).sort("instrument")
    return {f"trade/{number}": name for number, name in known.select(NUMBER, "instrument").iter_rows()}


def subscribe(names: Sequence[str], number: int) -> str:
    """One market a frame."""
    return orjson.dumps({"type": "subscribe", "channel": names[0]}).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is. The answer to a subscription repeats recent trades and liquidations of the market."""
    content = orjson.loads(payload)
    if "error" in content:
        error = content["error"]
        return Heard("refused", message=str(error.get("message", error) if isinstance(error, dict) else error))
    match content.get("type"):
        case "update/trade":
            return DATA
        case "subscribed/trade":
            # Asked for as trade/1, answered as trade:1.
            return Heard("acknowledged", topics=(str(content["channel"]).replace(":", "/"),), is_alive=True)
        case "ping":
            return Heard("alive", reply='{"type":"pong"}', is_alive=True)
        case "pong":
            return ALIVE
    return OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The trades of a frame; either list may be missing or null."""
    if content.get("type") not in ("update/trade", "subscribed/trade"):
        return ()
    return [*(content.get("trades") or ()), *(content.get("liquidation_trades") or ())]


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced trades, in units of the instrument; deleveragings are kept apart. The liquidated account is the TAKER: where the maker
    asked, a short was closed by a purchase."""
    found = read_events(pages, events, EVENTS)
    markets = {int(topic.removeprefix("trade/")): name for topic, name in markets_of_topics(pages).items()}
    forced = kept(found.frame, pl.col("kind").is_in(list(FORCED)), "not_forced").with_columns(
        from_ms("at_ms").alias("at"),
        pl.col("market").replace_strict(markets, default=None, return_dtype=pl.String).alias("instrument"),
        pl.when("is_maker_ask").then(pl.lit("short")).otherwise(pl.lit("long")).alias("side"),
        pl.col("kind").replace_strict(FORCED, return_dtype=pl.Boolean).alias("is_adl"),
    )
    known, unknown = sized(forced.filter(pl.col("instrument").is_not_null()), context)
    rows = liquidations(
        known, venue=NAME, rules=RULES, facts=("trade_id",), is_counted=False, venue_kind="perp_dex"
    )  # fmt: skip
    unnamed = rejected(
        forced.filter(pl.col("instrument").is_null()), reason="unknown_instrument", field="market_id", stamp="at",
        detail="no topic of the recorded segment has this market",
    )  # fmt: skip
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, "Lighter"), unnamed)


def ping(now: datetime) -> str:
    """Answered with a pong; after two minutes without, the venue closes."""
    return '{"type":"ping"}'


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Liquidations and deleveragings among the trades of perpetuals, recorded from the websocket.",
    endpoints={"stream": "wss://mainnet.zklighter.elliot.ai"},
    channels=(
        Channel(
            name="trades",
            endpoint="stream",
            path="/stream",
            topics=topics,
            subscribe=subscribe,
            topics_per_frame=1,
            topics_per_connection=100,
            # 200 messages a minute and address, from which several connections draw.
            pause=0.7,
            is_numbered=True,
        ),
    ),
    classify=classify,
    keep_alive=KeepAlive(every=50.0, stalled_after=110.0, request=ping),
    parse=parse,
    rules=RULES,
    since=date(2025, 1, 17),
    side="taker's order: where the maker bid, a long was closed",
    unit="coin",
    identity="id of the trade",
    numbers=numbers,
    forced_end=timedelta(hours=24),
    # 60 connections a minute.
    connects=(20, 60.0),
)
