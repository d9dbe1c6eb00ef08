"""GMX v1 and v2: liquidations and auto-deleveraging of perpetual positions, and how v2's generic events are decoded.

Markets are in gmx_markets.py, contracts in contracts.py. Amounts in dollars have 30 decimals.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.contract.batch import CoverageSpan, SourceRules
from pipelines.extract.venue import Api, Context, Daily, Feed, Job, Page, Parsed, Partitioning, Retention, Span
from pipelines.sources.chain.evm.abi import PATTERNS, EventSpec, Kind, Word, decode_logs, value_of
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.contracts import GMX_V1_VAULTS, GMX_V2_EVENT_EMITTERS
from pipelines.sources.chain.evm.gmx_markets import INDEX_TOKENS, markets
from pipelines.sources.chain.evm.logs import LogFilter, LogSource, read_logs
from pipelines.sources.instruments import parse_symbols, runs_of_days
from pipelines.sources.records import LINE, rejected

VENUE: Final = "gmx"
USD_DECIMALS: Final = 30

# v2 has three events: EventLog, EventLog1 and EventLog2. topic1 is the hash of the name; the fields are keyed items in data.
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
"""First topic of each signature."""

POSITION_DECREASE: Final = "0x07d51b51b408d7c62dcc47cc558da5ce6a6e0fd129a427ebce150f52b0e5171a"
ORDER_EXECUTED: Final = "0x680f10f06595d3d707241f604672ec4b6ae50eb82728ec2f3c65f6789e897760"
"""topic1 of the two events that are read. Creation and cancellation of a liquidation's order would report it a second time."""

LIQUIDATION: Final = 7
"""orderType of a decrease that only the keeper can order."""
ADL: Final = 1
"""secondaryOrderType of an order to auto-deleverage. By orderType its decrease is an ordinary market order, so only the
execution of the order shows it."""

DECREASE: Final[Mapping[str, Kind]] = {
    "market": "address",
    "executionPrice": "uint256",
    "sizeDeltaInTokens": "uint256",
    "isLong": "bool",
    "orderKey": "bytes32",
}
"""Items of PositionDecrease that make a row, with their types."""

# Emitted by v1's Vault, with no indexed parameter. A position with too much leverage but enough collateral is decreased
# instead: another event, and not a liquidation.
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
        # int256; not read.
        Word("realized_pnl", "bytes32"),
        Word("mark_price", "uint256"),
    ),
    "LiquidatePosition(bytes32,address,address,address,bool,uint256,uint256,uint256,int256,uint256)",
)

VALID_FROM: Final = datetime(1970, 1, 1)
_KEY_OFFSET: Final = f"{64:064x}"


def parse_v2(pages: Sequence[Page], chain: Chain) -> Iterator[Parsed]:
    """One row per decrease by liquidation or by auto-deleveraging. Other decreases, ordered by the position's owner, are skipped.

    Notional is the closed quantity at its closing price, as on exchanges; sizeDeltaUsd, the same quantity at the position's
    entry price, stays in the landing.
    """
    logs = read_logs(pages).with_columns(pl.col("address", "topics", "data").str.to_lowercase())
    name = pl.col("topics").str.slice(67, 66)
    is_ours = (pl.col("address") == GMX_V2_EVENT_EMITTERS[chain.name]) & pl.col("topics").str.slice(0, 66).is_in(
        [*EVENT_LOGS.values()]
    )
    decreases = logs.filter(is_ours, name == POSITION_DECREASE)
    executions = logs.filter(is_ours, name == ORDER_EXECUTED)
    known = is_ours & name.is_in([POSITION_DECREASE, ORDER_EXECUTED])

    # A text search finds the forced closes; only they are decoded, which costs a hundred times as much.
    deleveraging = items(executions.filter(_contains(_item("secondaryOrderType", ADL))), {"key": "bytes32"})
    orders = deleveraging.filter(_is_valid).select("transactionHash", orderKey="key")
    forced = decreases.filter(
        _contains(_item("orderType", LIQUIDATION))
        | pl.col("transactionHash").is_in(orders["transactionHash"].implode())
    )
    candidates = items(forced.with_columns(is_liquidation=_contains(_item("orderType", LIQUIDATION))), DECREASE)
    closes = candidates.filter(_is_valid).join(
        orders.with_columns(is_adl=pl.lit(value=True)),
        on=["transactionHash", "orderKey"], how="left", maintain_order="left",
    )  # fmt: skip
    closes = closes.with_columns(pl.col("is_adl").fill_null(value=False)).filter(
        pl.col("is_liquidation") | pl.col("is_adl")
    )
    unmatched = deleveraging.filter(_is_valid).join(
        closes, left_on=["transactionHash", "key"], right_on=["transactionHash", "orderKey"], how="anti"
    )
    faults = [
        _fault(logs.filter(~known), "an event that is not read, or of another contract"),
        _fault(decreases.filter(~_contains(_key("orderType"))), "a decrease without the item orderType"),
        _fault(
            executions.filter(~_contains(_key("secondaryOrderType"))),
            "an execution without the item secondaryOrderType",
        ),
        _fault(unmatched, "an order to auto-deleverage was executed, and no position decreased by it"),
        *(frame.filter(~_is_valid).select(LINE, "fault") for frame in (deleveraging, candidates)),
    ]

    listed = markets()[chain.name]
    names = {market: name for market, (name, _) in listed.items()}
    places = {market: decimals for market, (_, decimals) in listed.items()}
    closes = closes.with_columns(
        label=pl.col("market").replace_strict(names, default=None, return_dtype=pl.String),
        decimals=pl.col("market").replace_strict(places, default=None, return_dtype=pl.Int64),
    ).with_columns(
        quantity_base=shifted("sizeDeltaInTokens", pl.col("decimals")),
        # Per smallest unit of the index.
        price=shifted("executionPrice", USD_DECIMALS - pl.col("decimals")),
    )
    closes = closes.with_columns(
        pl.col("label").alias("instrument"), notional_usd=pl.col("quantity_base") * pl.col("price")
    )
    yield from _parsed(logs, closes.rename({"isLong": "is_long"}), faults, chain)


def parse_v1(pages: Sequence[Page], chain: Chain) -> Iterator[Parsed]:
    """One row per liquidated position.

    `size` is in dollars at the entry price, and the event does not state the quantity. It is computed at the mark price: too
    large for a long and too small for a short, by the price move since the entry.
    """
    logs = read_logs(pages)
    is_listed = pl.col("address").str.to_lowercase() == GMX_V1_VAULTS[chain.name]
    decoded = decode_logs(logs.filter(is_listed), LIQUIDATE_POSITION)
    symbol = pl.col("index_token").replace_strict(INDEX_TOKENS[chain.name], default=None, return_dtype=pl.String)
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
        _fault(logs.filter(~is_listed), "the contract is not on the list"),
        decoded.filter(pl.col("undecodable").is_not_null()).select(LINE, fault="undecodable"),
    ]
    yield from _parsed(logs, closes, faults, chain)


def _parsed(logs: pl.DataFrame, closes: pl.DataFrame, faults: Sequence[pl.DataFrame], chain: Chain) -> Iterator[Parsed]:
    """Rows and rejects. `closes` has LINE and the values of a row; `instrument` is null if `market` is not listed."""
    joined = closes.select(
        LINE, "market", "instrument", "is_long", "is_adl", "price", "quantity_base", "notional_usd"
    ).join(logs, on=LINE, maintain_order="left")
    rows = joined.filter(pl.col("instrument").is_not_null()).select(
        pl.lit(VENUE).alias("venue"),
        # Transaction and index identify a log on its chain.
        pl.format(
            "{}:{}:{}",
            pl.lit(chain.name),
            pl.col("transactionHash").str.to_lowercase(),
            pl.col("logIndex").str.strip_prefix("0x").str.to_integer(base=16),
        ).alias("liquidation_id"),
        pl.lit("perp_dex").alias("venue_kind"),
        pl.format("{}:{}", pl.lit(chain.name), "instrument").alias("instrument"),
        "occurred_at",
        pl.when(pl.col("is_long") == "true").then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "price",
        "quantity_base",
        "notional_usd",
        pl.lit("full").alias("completeness"),
        "is_adl",
        (pl.col("occurred_at") + chain.finality).alias("available_at"),
        LINE,
    )
    rejected_logs = logs.join(
        pl.concat(faults).unique(LINE, keep="first", maintain_order=True), on=LINE, maintain_order="left"
    )
    rejects = rejected(
        rejected_logs, reason="undecodable", detail=pl.col("fault"), stamp="occurred_at", instrument="address"
    )
    unlisted = rejected(
        joined.filter(pl.col("instrument").is_null()).select(*logs.columns, "market"),
        reason="unknown_instrument", detail="the market is not on the list", stamp="occurred_at", instrument="market",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([rejects, unlisted]))
    yield Parsed("instruments", _instruments(rows))


def _instruments(rows: pl.DataFrame) -> pl.DataFrame:
    """Instruments of the rows, parsed from their names: GMX publishes no list. Amounts are in units of the index."""
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
        # A market never changes its index, so every landing gives the same row.
        pl.lit(VALID_FROM, pl.Datetime("us")).alias("available_at"),
        LINE,
    )  # fmt: skip


def items(logs: pl.DataFrame, kinds: Mapping[str, Kind]) -> pl.DataFrame:
    """`logs` (lower case, with LINE) with the items of `kinds` in their event data as text columns named by key, and `fault`: which
    item is missing, duplicated or malformed, else null.

    An item is a struct of key and value, encoded as the offset of the key, the value, the length of the key and the key. Its
    position depends on everything before it, so keys are searched among the words instead of following offsets.
    """
    words = logs.select(LINE, pl.col("data").str.slice(2).str.extract_all("[0-9a-f]{64}").alias("word")).explode("word")
    near = words.with_columns(
        key=pl.concat_str(pl.col("word").shift(1), "word").replace_strict(
            {_key(name): name for name in kinds}, default=None, return_dtype=pl.String
        ),
        value=pl.col("word").shift(2),
        starts=(pl.col("word").shift(3) == _KEY_OFFSET) & (pl.col(LINE).shift(3) == pl.col(LINE)),
    ).filter(pl.col("key").is_not_null() & pl.col("starts"))
    found = near.group_by(LINE).agg(
        *(pl.col("value").filter(pl.col("key") == name).alias(f"item:{name}") for name in kinds)
    )
    wide = logs.join(found, on=LINE, how="left", maintain_order="left")
    faults = []
    for name, kind in kinds.items():
        cells = pl.col(f"item:{name}")
        faults.append(pl.when(cells.list.len().fill_null(0) != 1).then(pl.lit(f"not one item {name}")))
        fits = cells.list.first().str.contains(PATTERNS[kind]).fill_null(value=False)
        faults.append(pl.when(~fits).then(pl.lit(f"{name} is not an ABI {kind}")))
    first = {name: wide[f"item:{name}"].list.first() for name in kinds}
    return wide.with_columns(
        pl.coalesce(*faults).alias("fault"), **{name: value_of(first[name], kind) for name, kind in kinds.items()}
    ).drop([f"item:{name}" for name in kinds])


def shifted(column: str, places: pl.Expr) -> pl.Expr:
    """Decimal text divided by 10^places (at least 1), as the nearest double."""
    digits = pl.col(column).str.zfill(places + 1)
    return pl.concat_str(digits.str.head(-places), pl.lit("."), digits.str.tail(places)).cast(pl.Float64)


_is_valid: Final = pl.col("fault").is_null()


def _contains(words: str) -> pl.Expr:
    return pl.col("data").str.contains(words, literal=True)


def _fault(logs: pl.DataFrame, why: str) -> pl.DataFrame:
    return logs.select(LINE, pl.lit(why).alias("fault"))


def _key(name: str) -> str:
    """Encoding of a key of at most 32 characters: its length, then its letters."""
    return f"{len(name):064x}{name.encode().hex():0<64}"


def _item(name: str, value: int) -> str:
    """Encoding of an item, from its value on."""
    return f"{value:064x}{_key(name)}"


@dataclass(frozen=True)
class Version:
    """A version of GMX on all its chains. Its feed has the same name.

    `since` is, by chain, the month of the first deployment: earlier days are empty and cost one request.
    """

    name: str
    description: str
    since: Mapping[str, date]
    contracts: Mapping[str, str]
    topics0: tuple[str, ...]
    topics1: tuple[str, ...]
    parse: Callable[[Sequence[Page], Chain], Iterator[Parsed]]
    partitioning: Partitioning


VERSIONS: Final = (
    Version(
        "gmx_v1",
        "LiquidatePosition of GMX v1: dollars at the position's entry price, and the quantity they are worth at the mark price.",
        since={"arbitrum": date(2021, 8, 1), "avalanche": date(2022, 1, 1)},
        contracts=GMX_V1_VAULTS,
        topics0=(LIQUIDATE_POSITION.topic0,),
        topics1=(),
        parse=parse_v1,
        partitioning=Partitioning(months="past"),
    ),
    Version(
        "gmx_v2",
        "PositionDecrease of GMX v2 by liquidation and, kept apart, by auto-deleveraging, which OrderExecuted identifies.",
        since={"arbitrum": date(2023, 7, 1), "avalanche": date(2023, 7, 1)},
        contracts=GMX_V2_EVENT_EMITTERS,
        topics0=tuple(EVENT_LOGS.values()),
        topics1=(POSITION_DECREASE, ORDER_EXECUTED),
        parse=parse_v2,
        # Days only: every decrease, forced or not, takes six thousand bytes, and a month would be gigabytes.
        partitioning=Partitioning(months="never"),
    ),
)


def feeds(chain: Chain, source: Callable[[Api], LogSource]) -> tuple[Feed, ...]:
    """The feeds of a chain, one per version deployed there. `source` is where its logs are fetched."""
    return tuple(_feed(version, chain, source) for version in VERSIONS if chain.name in version.since)


def _feed(version: Version, chain: Chain, source: Callable[[Api], LogSource]) -> Feed:
    log_filter = LogFilter((version.contracts[chain.name],), version.topics0, version.topics1)

    async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
        logs = source(api)
        async for page in logs.logs(await logs.blocks(job.span), log_filter):
            yield page

    def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
        return version.parse(pages, chain)

    return Feed(
        name=version.name,
        tables=("liquidations", "instruments"),
        description=version.description,
        fetch=fetch,
        parse=parse,
        retention=Retention(since=version.since[chain.name]),
        cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
        partitioning=version.partitioning,
        rules=_rules,
    )


def _rules(spans: Sequence[Span]) -> SourceRules:
    """No row on a landed day means no liquidation."""
    return SourceRules(
        spans=tuple(CoverageSpan("liquidations", VENUE, first, last) for first, last in runs_of_days(spans))
    )
