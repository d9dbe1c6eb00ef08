"""Binance's wire format of forced orders, which other venues speak too: subscriptions, answers, pushes, and the rows in them.

Facts of a venue, such as which contracts it lists and how it throttles, are in the venue's module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.stream import ALIVE, DATA, EVERY_INSTRUMENT, OTHER, Heard, Rule
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

TOPIC: Final = "!forceOrder@arr"
CONTROL: Final = "btcusdt@markPrice"
"""Pushes every 3 seconds."""

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
FACTS: Final = ("instrument", "order_side", "at_ms", "ordered", "limit", "filled")


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic carries all contracts of the host."""
    return {TOPIC: EVERY_INSTRUMENT}


def subscribe(names: Sequence[str], number: int) -> str:
    """The venue repeats `id` in its answer."""
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


def listed(now: datetime) -> str:
    """A request that is answered, against proxies that close quiet connections. Its answer proves nothing."""
    return '{"method":"LIST_SUBSCRIPTIONS","id":0}'


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The order of a push, alone or inside a combined stream."""
    push = content.get("data", content)
    return [push["o"]] if push.get("e") == "forceOrder" else ()


def parse(
    pages: Sequence[Page], context: Context, *, venue: str, label: str, rules: Sequence[Rule], venue_kind: str = "cex"
) -> Iterator[Parsed]:
    """Filled forced orders of perpetuals, in units or contracts of the instrument. `label` is the venue's name in messages."""
    found = read_events(pages, events, EVENTS)
    timed = found.frame.with_columns(from_ms("at_ms").alias("at"))
    perpetual = kept(timed, ~pl.col("instrument").str.contains(DATED), "other_kind")
    filled = kept(perpetual, pl.col("amount") > 0, "no_value").with_columns(
        pl.col("order_side").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
        pl.lit(value=False).alias("is_adl"),
    )
    known, unknown = sized(filled.filter(pl.col("side").is_not_null()), context)
    rows = liquidations(known, venue=venue, rules=rules, facts=FACTS, is_counted=False, venue_kind=venue_kind)
    odd = undecodable(filled.filter(pl.col("side").is_null()), "S", "neither BUY nor SELL")
    yield from_connections(rows, found.rejects, unknown_instruments(unknown, label), odd)
