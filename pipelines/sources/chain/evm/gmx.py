"""GMX v1 and v2: forced closes of perpetual positions from the contracts' own logs, and how v2's generic events are read.

Markets and contracts stand in evm_gmx_markets, how logs are fetched in extract/logs. Amounts in dollars have 30 decimals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

import polars as pl

from pipelines.contract.batch import CoverageSpan, SourceRules
from pipelines.extract.logs import LogFilter, LogSource
from pipelines.extract.venue import Api, Context, Daily, Feed, Job, Page, Parsed, Partitioning, Retention, Span
from pipelines.sources.chain.evm.abi import PATTERNS, EventSpec, Kind, Word, decode_logs, value_of
from pipelines.sources.chain.evm.gmx_markets import DECIMALS, EVENT_EMITTERS, INDEX_TOKENS, MARKETS, VAULTS
from pipelines.sources.chain.evm.logs import read_logs
from pipelines.sources.instruments import parse_symbols, runs_of_days
from pipelines.sources.records import LINE, rejected

VENUE: Final = "gmx"
USD_DECIMALS: Final = 30

# topic0 of EventLog, EventLog1 and EventLog2: an event of v2 is named by topic1, and its fields by keys in the data.
_ITEMS: Final = ",".join(
    f"((string,{kind})[],(string,{kind}[])[])"
    for kind in ("address", "uint256", "int256", "bool", "bytes32", "bytes", "string")
)
EVENT_LOGS: Final = {
    f"EventLog(address,string,string,({_ITEMS}))": "0x7e3bde2ba7aca4a8499608ca57f3b0c1c1c93ace63ffd3741a9fab204146fc9a",
    f"EventLog1(address,string,string,bytes32,({_ITEMS}))": (
        "0x137a44067c8961cd7e1d876f4754a5a3a75989b4552f1843fc69c3b372def160"
    ),
    f"EventLog2(address,string,string,bytes32,bytes32,({_ITEMS}))": (
        "0x468a25a7ba624ceea6e540ad6f49171b52495b648417ae91bca21676d8a24dc5"
    ),
}
"""Hash of each signature."""

POSITION_DECREASE: Final = "0x07d51b51b408d7c62dcc47cc558da5ce6a6e0fd129a427ebce150f52b0e5171a"
ORDER_EXECUTED: Final = "0x680f10f06595d3d707241f604672ec4b6ae50eb82728ec2f3c65f6789e897760"
"""Hashes of the names of the two events that are read. What a liquidation's order says of itself when it is created and
cancelled is not asked for: it would tell of the same liquidation again."""

LIQUIDATION: Final = 7
"""orderType of a decrease that nobody but the keeper may order."""
ADL: Final = 1
"""secondaryOrderType of an order to auto-deleverage. Its decrease is an ordinary market order by type, so that only the
execution of the order tells."""

DECREASE: Final[Mapping[str, Kind]] = {
    "market": "address",
    "executionPrice": "uint256",
    "sizeDeltaInTokens": "uint256",
    "isLong": "bool",
    "orderKey": "bytes32",
}
"""Items of PositionDecrease that make a row, by their type."""

# v1's Vault, nothing of it indexed. A position whose leverage is too high but whose collateral suffices is decreased instead,
# which is no liquidation and another event.
LIQUIDATE_POSITION: Final = EventSpec(
    "liquidate_position",
    "0x2e1f85a64a2f22cf2f0c42584e7c919ed4abe8d53675cff0f62bf1e95a1c676f",
    (
        Word("key", "bytes32"),
        Word("account", "address"),
        Word("collateral_token", "address"),
        Word("index_token", "address"),
        Word("is_long", "bool"),
        Word("size", "uint256"),
        Word("collateral", "uint256"),
        Word("reserve_amount", "uint256"),
        # int256, which may be negative and is not read.
        Word("realized_pnl", "bytes32"),
        Word("mark_price", "uint256"),
    ),
    "LiquidatePosition(bytes32,address,address,address,bool,uint256,uint256,uint256,int256,uint256)",
)

SINCE: Final = {
    "gmx_v1": {"arbitrum": date(2021, 8, 1), "avalanche": date(2022, 1, 1)},
    "gmx_v2": {"arbitrum": date(2023, 7, 1), "avalanche": date(2023, 7, 1)},
}
"""The month of the first deployment: days before it are empty and cost one request."""

VALID_FROM: Final = datetime(1970, 1, 1)
_KEY_OFFSET: Final = f"{64:064x}"


def gmx_feeds(chain: str, *, finality: timedelta, source: Callable[[Api], LogSource]) -> tuple[Feed, ...]:
    """The feeds of a chain, none where GMX is not. `source` is where its logs are had from, `finality` how long after its block
    an event could be relied on."""
    if chain not in EVENT_EMITTERS:
        return ()
    names = tuple(EVENT_LOGS.values())
    read_v2 = LogFilter((EVENT_EMITTERS[chain],), names, (POSITION_DECREASE, ORDER_EXECUTED))
    read_v1 = LogFilter((VAULTS[chain],), (LIQUIDATE_POSITION.topic0,))
    return (
        _feed(
            "gmx_v1", chain,
            "LiquidatePosition of GMX v1: dollars of the position's entry, and the quantity they are at the mark price.",
            read_v1, source, partial(parse_v1, chain=chain, finality=finality), by_month=True,
        ),
        _feed(
            "gmx_v2", chain,
            "PositionDecrease of GMX v2 by liquidation, and apart from it by auto-deleveraging, which OrderExecuted tells.",
            read_v2, source, partial(parse_v2, chain=chain, finality=finality), by_month=False,
        ),
    )  # fmt: skip


def _feed(
    name: str, chain: str, description: str, wanted: LogFilter, source: Callable[[Api], LogSource],
    parse: Callable[[Sequence[Page], Context], Iterator[Parsed]], *, by_month: bool,
) -> Feed:  # fmt: skip
    async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
        there = source(api)
        async for page in there.logs(await there.blocks(job.span), wanted):
            yield page

    return Feed(
        name=name,
        tables=("liquidations", "instruments"),
        description=description,
        fetch=fetch,
        parse=parse,
        retention=Retention(since=SINCE[name][chain]),
        cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
        partitioning=Partitioning(months="past" if by_month else "never"),
        # Every decrease of v2 is told in six thousand bytes and liquidations among them: a month would be gigabytes.
        rules=_rules,
    )


def _rules(spans: Sequence[Span]) -> SourceRules:
    """No event on a landed day means that nothing was liquidated."""
    return SourceRules(
        spans=tuple(CoverageSpan("liquidations", VENUE, first, last) for first, last in runs_of_days(spans))
    )


def parse_v2(pages: Sequence[Page], context: Context, *, chain: str, finality: timedelta) -> Iterator[Parsed]:
    """Decreases of positions by liquidation, once each, and those by auto-deleveraging. Other decreases are passed over: they
    were ordered by the position's owner.

    Notional is what was closed at the price it was closed at, as exchanges have it; sizeDeltaUsd, the same quantity at the
    price of the position's entry, stays in the landing.
    """
    logs = read_logs(pages).with_columns(pl.col("address", "topics", "data").str.to_lowercase())
    name = pl.col("topics").str.slice(67, 66)
    is_ours = (pl.col("address") == EVENT_EMITTERS[chain]) & pl.col("topics").str.slice(0, 66).is_in(
        [*EVENT_LOGS.values()]
    )
    decreases = logs.filter(is_ours, name == POSITION_DECREASE)
    executions = logs.filter(is_ours, name == ORDER_EXECUTED)
    known = is_ours & name.is_in([POSITION_DECREASE, ORDER_EXECUTED])

    # One search tells what a log is of; only what is a forced close is taken apart, which costs a hundred times as much.
    deleveraging = items(executions.filter(_holds(_item("secondaryOrderType", ADL))), {"key": "bytes32"})
    orders = deleveraging.filter(_sound).select("transactionHash", orderKey="key")
    forced = decreases.filter(
        _holds(_item("orderType", LIQUIDATION)) | pl.col("transactionHash").is_in(orders["transactionHash"].implode())
    )
    taken = items(forced.with_columns(is_liquidation=_holds(_item("orderType", LIQUIDATION))), DECREASE)
    closes = taken.filter(_sound).join(
        orders.with_columns(is_adl=pl.lit(value=True)),
        on=["transactionHash", "orderKey"], how="left", maintain_order="left",
    )  # fmt: skip
    closes = closes.with_columns(pl.col("is_adl").fill_null(value=False)).filter(
        pl.col("is_liquidation") | pl.col("is_adl")
    )
    lone = deleveraging.filter(_sound).join(
        closes, left_on=["transactionHash", "key"], right_on=["transactionHash", "orderKey"], how="anti"
    )
    faults = [
        _fault(logs.filter(~known), "no event that is read, or one of another contract"),
        _fault(decreases.filter(~_holds(_key("orderType"))), "a decrease without the item orderType"),
        _fault(
            executions.filter(~_holds(_key("secondaryOrderType"))), "an execution without the item secondaryOrderType"
        ),
        _fault(lone, "an order to auto-deleverage was executed, and no position decreased by it"),
        *(frame.filter(~_sound).select(LINE, "fault") for frame in (deleveraging, taken)),
    ]

    label = pl.col("market").replace_strict(MARKETS[chain], default=None, return_dtype=pl.String)
    index = label.str.split("/").list.first()
    closes = closes.with_columns(
        label=label, decimals=index.replace_strict(DECIMALS, default=None, return_dtype=pl.Int64)
    ).with_columns(
        quantity_base=shifted("sizeDeltaInTokens", pl.col("decimals")),
        # Stated for the smallest unit of the index.
        price=shifted("executionPrice", USD_DECIMALS - pl.col("decimals")),
    )
    closes = closes.with_columns(
        pl.col("label").alias("instrument"), notional_usd=pl.col("quantity_base") * pl.col("price")
    )
    yield from _parsed(logs, closes.rename({"isLong": "is_long"}), faults, chain=chain, finality=finality)


def parse_v1(pages: Sequence[Page], context: Context, *, chain: str, finality: timedelta) -> Iterator[Parsed]:
    """One row per liquidated position.

    `size` is in dollars of the position's entry, and the event does not tell how many coins they bought: the quantity is what
    they are at the mark price, too many coins for a long and too few for a short, by as much as the price has moved.
    """
    logs = read_logs(pages)
    is_listed = pl.col("address").str.to_lowercase() == VAULTS[chain]
    decoded = decode_logs(logs.filter(is_listed), LIQUIDATE_POSITION)
    symbol = pl.col("index_token").replace_strict(INDEX_TOKENS[chain], default=None, return_dtype=pl.String)
    closes = (
        decoded.filter(pl.col("undecodable").is_null())
        .with_columns(
            pl.format("{}/USD:v1", symbol).alias("instrument"),
            pl.col("index_token").alias("market"),
            pl.lit(value=False).alias("is_adl"),
            price=shifted("mark_price", pl.lit(USD_DECIMALS)),
            notional_usd=shifted("size", pl.lit(USD_DECIMALS)),
        )
        .with_columns(quantity_base=pl.col("notional_usd") / pl.col("price"))
    )
    faults = [
        _fault(logs.filter(~is_listed), "the emitter is not on the list"),
        decoded.filter(pl.col("undecodable").is_not_null()).select(LINE, fault="undecodable"),
    ]
    yield from _parsed(logs, closes, faults, chain=chain, finality=finality)


def _parsed(
    logs: pl.DataFrame, closes: pl.DataFrame, faults: Sequence[pl.DataFrame], *, chain: str, finality: timedelta
) -> Iterator[Parsed]:
    """Rows and rejects. `closes` has LINE and what makes a row; its `instrument` is null where `market` is on no list."""
    placed = closes.select(
        LINE, "market", "instrument", "is_long", "is_adl", "price", "quantity_base", "notional_usd"
    ).join(logs, on=LINE, maintain_order="left")
    rows = placed.filter(pl.col("instrument").is_not_null()).select(
        pl.lit(VENUE).alias("venue"),
        # A log has one place on its chain.
        pl.format(
            "{}:{}:{}",
            pl.lit(chain),
            pl.col("transactionHash").str.to_lowercase(),
            pl.col("logIndex").str.strip_prefix("0x").str.to_integer(base=16),
        ).alias("liquidation_id"),
        pl.lit("perp_dex").alias("venue_kind"),
        pl.format("{}:{}", pl.lit(chain), "instrument").alias("instrument"),
        "occurred_at",
        pl.when(pl.col("is_long") == "true").then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "price",
        "quantity_base",
        "notional_usd",
        pl.lit("full").alias("completeness"),
        "is_adl",
        (pl.col("occurred_at") + finality).alias("available_at"),
        LINE,
    )
    rejected_logs = logs.join(
        pl.concat(faults).unique(LINE, keep="first", maintain_order=True), on=LINE, maintain_order="left"
    )
    rejects = rejected(
        rejected_logs, reason="undecodable", detail=pl.col("fault"), stamp="occurred_at", instrument="address"
    )
    unlisted = rejected(
        placed.filter(pl.col("instrument").is_null()).select(*logs.columns, "market"),
        reason="unknown_instrument", detail="the market is not on the list", stamp="occurred_at", instrument="market",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([rejects, unlisted]))
    yield Parsed("instruments", _instruments(rows))


def _instruments(rows: pl.DataFrame) -> pl.DataFrame:
    """The instruments of the rows, which no list of the venue's describes. Amounts are in units of the index."""
    seen = rows.group_by("instrument", maintain_order=True).agg(pl.col(LINE).min())
    return parse_symbols(VENUE, seen["instrument"]).join(seen, on="instrument", maintain_order="left").select(
        pl.lit(VENUE).alias("venue"),
        "instrument",
        pl.lit(VALID_FROM, pl.Datetime("us")).alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        pl.lit(None, pl.Float64).alias("contract_size"),
        pl.lit(None, pl.String).alias("contract_size_unit"),
        "multiplier",
        pl.lit(None, pl.Datetime("us")).alias("listed_at"),
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        # What a market stands for never changes, so that every landing says the same of it.
        pl.lit(VALID_FROM, pl.Datetime("us")).alias("available_at"),
        LINE,
    )  # fmt: skip


def items(logs: pl.DataFrame, wanted: Mapping[str, Kind]) -> pl.DataFrame:
    """`logs` (lower case, with LINE) with the items of their event data as text columns by their keys, and `fault`: which item
    is missing, there twice, or not of its kind; null where none is.

    An item is a struct of a key and a value: in the data, the offset of the key, the value, the length of the key, the key.
    Where that begins depends on all before it, so keys are searched among the words instead of offsets being followed.
    """
    words = logs.select(LINE, pl.col("data").str.slice(2).str.extract_all("[0-9a-f]{64}").alias("word")).explode("word")
    near = words.with_columns(
        key=pl.concat_str(pl.col("word").shift(1), "word").replace_strict(
            {_key(name): name for name in wanted}, default=None, return_dtype=pl.String
        ),
        value=pl.col("word").shift(2),
        starts=(pl.col("word").shift(3) == _KEY_OFFSET) & (pl.col(LINE).shift(3) == pl.col(LINE)),
    ).filter(pl.col("key").is_not_null() & pl.col("starts"))
    told = near.group_by(LINE).agg(
        *(pl.col("value").filter(pl.col("key") == name).alias(f"item:{name}") for name in wanted)
    )
    wide = logs.join(told, on=LINE, how="left", maintain_order="left")
    faults = []
    for name, kind in wanted.items():
        cells = pl.col(f"item:{name}")
        faults.append(pl.when(cells.list.len().fill_null(0) != 1).then(pl.lit(f"not one item {name}")))
        fits = cells.list.first().str.contains(PATTERNS[kind]).fill_null(value=False)
        faults.append(pl.when(~fits).then(pl.lit(f"{name} is not an ABI {kind}")))
    first = {name: wide[f"item:{name}"].list.first() for name in wanted}
    return wide.with_columns(
        pl.coalesce(*faults).alias("fault"), **{name: value_of(first[name], kind) for name, kind in wanted.items()}
    ).drop([f"item:{name}" for name in wanted])


def shifted(column: str, places: pl.Expr) -> pl.Expr:
    """Decimal text with its point `places` digits from the right, at least one, as the nearest double."""
    digits = pl.col(column).str.zfill(places + 1)
    return pl.concat_str(digits.str.head(-places), pl.lit("."), digits.str.tail(places)).cast(pl.Float64)


_sound: Final = pl.col("fault").is_null()


def _holds(words: str) -> pl.Expr:
    return pl.col("data").str.contains(words, literal=True)


def _fault(logs: pl.DataFrame, why: str) -> pl.DataFrame:
    return logs.select(LINE, pl.lit(why).alias("fault"))


def _key(name: str) -> str:
    """The words of a key of at most 32 characters: its length and its letters."""
    return f"{len(name):064x}{name.encode().hex():0<64}"


def _item(name: str, value: int) -> str:
    """The words of an item from its value on."""
    return f"{value:064x}{_key(name)}"
