"""Deribit's public websocket: trades of futures, of which some are flagged as liquidations. Facts from Deribit's documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.universe import parse_symbol
from pipelines.extract.stream import ALIVE, DATA, EVERY_INSTRUMENT, OTHER, Channel, Heard, KeepAlive, Rule, Stream
from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.records import Field, from_ms, kept
from pipelines.sources.streams import from_connections, liquidations, read_events, undecodable

NAME: Final = "deribit"
PERPETUAL: Final = "-PERPETUAL"
TOPIC: Final = "trades.future.any.100ms"
HEARTBEAT_ID: Final = 1_000_001
TEST_ID: Final = 1_000_002
TEST: Final = orjson.dumps({"jsonrpc": "2.0", "id": TEST_ID, "method": "public/test", "params": {}}).decode()
HEARTBEAT: Final = orjson.dumps(
    {"jsonrpc": "2.0", "id": HEARTBEAT_ID, "method": "public/set_heartbeat", "params": {"interval": 10}}
).decode()
EVENTS: Final = (
    Field("instrument_name", "instrument", str),
    Field("trade_id", "trade_id", str),
    Field("timestamp", "at_ms", int),
    Field("direction", "taker", str),
    Field("amount", "amount", float),
    Field("price", "price", float),
    Field("liquidation", "liquidated", str, optional=True),
)
RULES: Final = (Rule("full", "every trade is pushed, flagged where it is a liquidation"),)


def topics(instruments: pl.DataFrame) -> Mapping[str, str]:
    """One topic carries the futures of all currencies."""
    return {TOPIC: EVERY_INSTRUMENT}


def subscribe(names: Sequence[str], number: int) -> str:
    """Deribit repeats the id, and lists the channels that it knows."""
    asked = {"jsonrpc": "2.0", "id": number, "method": "public/subscribe", "params": {"channels": list(names)}}
    return orjson.dumps(asked).decode()


def classify(payload: bytes) -> Heard:
    """What a frame is. A test request that is not answered ends the connection."""
    content = orjson.loads(payload)
    match content.get("method"):
        case "subscription":
            return DATA
        case "heartbeat":
            is_test = content["params"].get("type") == "test_request"
            return Heard("alive", is_alive=True, reply=TEST if is_test else None)
    number = content.get("id")
    if "error" in content:
        return Heard("refused", request=number, message=str(content["error"]))
    if number in (HEARTBEAT_ID, TEST_ID):
        return ALIVE
    if isinstance(content.get("result"), list):
        # A channel that is not known is silently missing.
        found = tuple(content["result"])
        return (
            Heard("acknowledged", topics=found, request=number)
            if found
            else Heard("refused", request=number, message="unknown channel")
        )
    return OTHER


def events(content: Any) -> Sequence[Mapping[str, Any]]:
    """The trades of a push."""
    if content.get("method") != "subscription":
        return ()
    trades: Sequence[Mapping[str, Any]] = content["params"]["data"]
    return trades


def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Flagged trades of perpetuals, read as those of REST: `direction` is the taker's. T: the taker was liquidated, M: the maker,
    MT: both, which gives two liquidations. Amounts are dollars (inverse) or coin (linear)."""
    found = read_events(pages, events, EVENTS)
    perpetuals = kept(found.frame, pl.col("instrument").str.ends_with(PERPETUAL), "other_kind")
    flagged = kept(
        perpetuals, pl.col("liquidated").is_not_null() & ~pl.col("liquidated").is_in(["", "none"]), "not_forced"
    )
    facts = {name: parse_symbol(NAME, name) for name in flagged["instrument"].unique()}
    contract_types = {name: fact.contract_type for name, fact in facts.items() if fact is not None}
    timed = flagged.with_columns(
        from_ms("at_ms").alias("at"),
        pl.col("instrument")
        .replace_strict(contract_types, default=None, return_dtype=pl.String)
        .alias("contract_type"),
    )
    is_decodable = (
        pl.col("liquidated").is_in(["M", "T", "MT", "TM"])
        & pl.col("taker").is_in(["buy", "sell"])
        & pl.col("contract_type").is_not_null()
    )
    inverse = pl.col("contract_type") == "inverse"
    sold = pl.col("taker") == "sell"
    each = (
        timed.filter(is_decodable)
        .with_columns(pl.col("liquidated").str.extract_all("[MT]").alias("who"))
        .explode("who")
        .with_columns(
            pl.when(sold == (pl.col("who") == "T")).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
            pl.when(inverse).then(pl.col("amount") / pl.col("price")).otherwise("amount").alias("quantity_base"),
            pl.when(inverse).then("amount").otherwise(pl.col("amount") * pl.col("price")).alias("notional_usd"),
            pl.lit(value=False).alias("is_adl"),
        )
    )
    rows = liquidations(each, venue=NAME, rules=RULES, facts=("instrument", "trade_id", "who"), is_counted=False)
    detail = "liquidation, direction or name is none that is documented"
    yield from_connections(rows, found.rejects, undecodable(timed.filter(~is_decodable), "liquidation", detail))


def test(now: datetime) -> str:
    """A request that is answered."""
    return TEST


STREAM: Final = Stream(
    name="liquidation_stream",
    tables=("liquidations",),
    description="Trades of perpetuals flagged as liquidations, recorded from the websocket.",
    endpoints={"stream": "wss://www.deribit.com"},
    channels=(
        Channel(
            name="trades",
            endpoint="stream",
            path="/ws/api/v2",
            topics=topics,
            subscribe=subscribe,
            greeting=(HEARTBEAT,),
        ),
    ),
    classify=classify,
    keep_alive=KeepAlive(every=20.0, stalled_after=35.0, request=test),
    parse=parse,
    rules=RULES,
    since=date(2018, 1, 1),
    side="direction of the taker, and who was liquidated (T, M, MT)",
    unit="dollars (inverse), coin (linear)",
    identity="trade id, and who of the trade was liquidated",
    connects=(10, 60.0),
)
