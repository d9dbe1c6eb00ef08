"""Events of lending protocols to rows of clean.lending_liquidations: one declaration per event, one field map per protocol
and a function only where two events make one row.

Which contracts are believed stands in evm_emitters, how logs are fetched in extract/logs, what is lost for good in
evm_bad_debt. Amounts stay raw: decimals and prices are applied by dbt from the token registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import (
    AAVE_LIQUIDATION_CALL,
    TOPIC0,
    TOPICS,
    EventSpec,
    Word,
    decode_logs,
    is_event,
)
from pipelines.sources.records import LINE, rejected

Decoded = Mapping[str, pl.DataFrame]
"""Logs of a protocol by the name of their event: its words as text columns, `address`, `tx_hash`, `log_index`,
`block_number`, `occurred_at`, LINE, and `emitter_token`, what the emitter lends or takes where that is known."""

Rows = Callable[[Decoded], pl.DataFrame]
"""One row per liquidation: the place columns and ROW; `fault` says why a log makes no row."""

ROW: Final[dict[str, pl.DataType]] = {
    "borrower": pl.String(),
    "liquidator": pl.String(),
    "collateral_token": pl.String(),
    "collateral_amount_raw": pl.String(),
    "collateral_amount": pl.Float64(),
    "collateral_usd": pl.Float64(),
    "debt_token": pl.String(),
    "debt_amount_raw": pl.String(),
    "debt_usd": pl.Float64(),
}

ETHER: Final = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
DAI: Final = "0x6b175474e89094c44da98b954eedeac495271d0f"
LUSD: Final = "0x5f98805a4e8be255a32880fdec7f6728c6568ba0"
BOLD: Final = "0x6440f144b7e50d6a8439336510312d2f54beb01d"

PLACE: Final = ("address", "tx_hash", "log_index", "block_number", "occurred_at", LINE)

ABSORPTION: Final = ("tx_hash", "address", "borrower")
"""What the events of one absorption of Compound v3 have in common."""

# Aave v1: the pool. `timestamp` repeats the block's time.
AAVE_V1_LIQUIDATION_CALL: Final = EventSpec.declared(
    "aave_v1_liquidation_call",
    "0x56864757fd5b1fc9f38f5f3a981cd8ae512ce41b902cf73fc506ee369c6bc237",
    "LiquidationCall(address indexed collateral, address indexed reserve, address indexed user, uint256 purchase_amount, "
    "uint256 liquidated_collateral_amount, uint256 accrued_borrow_interest, address liquidator, bool receive_atoken, "
    "uint256 timestamp)",
)
LIQUIDATE_BORROW_TOPIC: Final = "0x298637f684da70674f26509b10f07ec2fbc77a335ab1e7d6215a4b2484d8bb52"
# Compound v2, Benqi, Venus core, Moonwell: the cToken of the debt. seize_tokens are cTokens, not what they stand for.
LIQUIDATE_BORROW: Final = EventSpec.declared(
    "liquidate_borrow",
    LIQUIDATE_BORROW_TOPIC,
    "LiquidateBorrow(address liquidator, address borrower, uint256 repay_amount, address ctoken_collateral, "
    "uint256 seize_tokens)",
)
# Venus isolated pools: the same hash, three words indexed.
LIQUIDATE_BORROW_INDEXED: Final = EventSpec.declared(
    "liquidate_borrow_indexed",
    LIQUIDATE_BORROW_TOPIC,
    "LiquidateBorrow(address indexed liquidator, address indexed borrower, uint256 repay_amount, "
    "address indexed ctoken_collateral, uint256 seize_tokens)",
)
# Compound v3: usd_value has 8 decimals. BuyCollateral is the protocol's later sale and no liquidation.
ABSORB_COLLATERAL: Final = EventSpec.declared(
    "absorb_collateral",
    "0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e",
    "AbsorbCollateral(address indexed absorber, address indexed borrower, address indexed asset, "
    "uint256 collateral_absorbed, uint256 usd_value)",
)
ABSORB_DEBT: Final = EventSpec.declared(
    "absorb_debt",
    "0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f",
    "AbsorbDebt(address indexed absorber, address indexed borrower, uint256 base_paid_out, uint256 usd_value)",
)
MORPHO_LIQUIDATE: Final = EventSpec.declared(
    "morpho_liquidate",
    "0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41",
    "Liquidate(bytes32 indexed id, address indexed caller, address indexed borrower, uint256 repaid_assets, "
    "uint256 repaid_shares, uint256 seized_assets, uint256 bad_debt_assets, uint256 bad_debt_shares)",
)
MORPHO_CREATE_MARKET: Final = EventSpec.declared(
    "morpho_create_market",
    "0xac4b2400f169220b0c0afdde7a0b32e775ba727ea1cb30b35f935cdaab8683ac",
    "CreateMarket(bytes32 indexed id, (address loan_token, address collateral_token, address oracle, address irm, "
    "uint256 lltv))",
)
# Maker until 2021 and since: ink is collateral with 18 decimals whatever the token has, tab and due are Dai with 45.
MAKER_BITE: Final = EventSpec.declared(
    "maker_bite",
    "0xa716da86bc1fb6d43d1493373f34d7a418b619681cd7b90f7ea667ba1489be28",
    "Bite(bytes32 indexed ilk, address indexed urn, uint256 ink, uint256 art, uint256 due, address flip, uint256 auction)",
)
# The Clipper's Kick and Take sell what was barked for, and are no further liquidations.
MAKER_BARK: Final = EventSpec.declared(
    "maker_bark",
    "0x85258d09e1e4ef299ff3fc11e74af99563f022d21f3f940db982229dc2a3358c",
    "Bark(bytes32 indexed ilk, address indexed urn, uint256 ink, uint256 art, uint256 due, address clip, "
    "uint256 indexed auction)",
)
# Liquity v1: one per trove; Liquidation, its sum per transaction, is not counted beside it.
LIQUITY_TROVE_LIQUIDATED: Final = EventSpec.declared(
    "liquity_trove_liquidated",
    "0xea67486ed7ebe3eea8ab3390efd4a3c8aae48be5bea27df104a8af786c408434",
    "TroveLiquidated(address indexed borrower, uint256 debt, uint256 coll, uint8 operation)",
)
# Liquity v2: the sum over the troves of one call; price has 18 decimals. What is surplus goes back to the owner.
LIQUITY_V2_LIQUIDATION: Final = EventSpec.declared(
    "liquity_v2_liquidation",
    "0x7243af9a1cff94d3429b2ee00b78c1c10589259f20dc167cb67704f38f9e824e",
    "Liquidation(uint256 debt_offset, uint256 debt_redistributed, uint256 bold_gas_compensation, "
    "uint256 coll_gas_compensation, uint256 coll_sent, uint256 coll_redistributed, uint256 coll_surplus, uint256 l_eth, "
    "uint256 l_bold_debt, uint256 price)",
)
# Euler v2: the vault of the debt; collateral is another vault, yield_balance its shares.
EULER_LIQUIDATE: Final = EventSpec.declared(
    "euler_liquidate",
    "0x8246cc71ab01533b5bebc672a636df812f10637ad720797319d5741d5ebb3962",
    "Liquidate(address indexed liquidator, address indexed violator, address collateral, uint256 repay_assets, "
    "uint256 yield_balance)",
)
# Euler's factory: the trailing bytes are the vault's asset, oracle and unit of account, 20 bytes each and packed.
EULER_PROXY_CREATED: Final = EventSpec(
    "euler_proxy_created",
    "0x04e664079117e113faa9684bc14aecb41651cbf098b14eda271248c6d0cda57c",
    (
        Word("proxy", "address", indexed=True),
        Word("upgradeable", "bool"),
        Word("implementation", "address"),
        Word("offset", "uint256"),
        Word("length", "uint256"),
        Word("trailing", "bytes32"),
        Word("trailing_rest", "bytes32"),
    ),
    "ProxyCreated(address,bool,address,bytes)",
)

EVENTS: Final = (
    AAVE_LIQUIDATION_CALL,
    AAVE_V1_LIQUIDATION_CALL,
    LIQUIDATE_BORROW,
    LIQUIDATE_BORROW_INDEXED,
    ABSORB_COLLATERAL,
    ABSORB_DEBT,
    MORPHO_LIQUIDATE,
    MORPHO_CREATE_MARKET,
    MAKER_BITE,
    MAKER_BARK,
    LIQUITY_TROVE_LIQUIDATED,
    LIQUITY_V2_LIQUIDATION,
    EULER_LIQUIDATE,
    EULER_PROXY_CREATED,
)


def fields(**columns: str | pl.Expr) -> Rows:
    """Each log is a row: columns of ROW by the word that is one, or by an expression over words."""

    def rows(decoded: Decoded) -> pl.DataFrame:
        return pl.concat([frame.select(*PLACE, **columns) for frame in decoded.values()])

    return rows


def decode_events(
    logs: pl.DataFrame, protocol: str, events: Sequence[EventSpec]
) -> tuple[dict[str, pl.DataFrame], list[pl.DataFrame]]:
    """The logs of each event decoded, and LINE and `fault` of those that follow none of them."""
    decoded: dict[str, pl.DataFrame] = {}
    faults: list[pl.DataFrame] = []
    for event in events:
        frame = decode_logs(logs.filter(is_event((event,))), event)
        faults.append(frame.select(LINE, pl.col("undecodable").alias("fault")))
        decoded[event.name] = (
            frame.filter(pl.col("undecodable").is_null())
            .drop("undecodable")
            .with_columns(pl.col("log_index", "block_number").cast(pl.Int64))
        )
    stray = pl.format("{} topics from {} are no event of " + protocol, TOPICS, TOPIC0)
    faults.append(logs.filter(~is_event(events)).select(LINE, stray.alias("fault")))
    return decoded, faults


def rejected_logs(logs: pl.DataFrame, faults: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The logs with a fault as rejects."""
    away = logs.join(pl.concat(faults).drop_nulls("fault"), on=LINE, maintain_order="left")
    return rejected(away, reason="undecodable", detail=pl.col("fault"), stamp="occurred_at", instrument="address")


def lending_rows(
    logs: pl.DataFrame, protocol: str, chain: str, events: tuple[EventSpec, ...], rows: Rows, *, finality: timedelta
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of clean.lending_liquidations and rejects from one protocol's logs (evm_logs.SCHEMA and `emitter_token`).

    Every log becomes a row, part of one, a fact about a market, or a reject: none is dropped.
    """
    decoded, faults = decode_events(logs, protocol, events)
    stated = pl.any_horizontal(pl.col("collateral_usd", "debt_usd").is_not_null())
    kept, unsound = clean_rows(rows(decoded), ROW, protocol, chain, stated=stated, finality=finality)
    return kept, rejected_logs(logs, [*faults, unsound])


def clean_rows(
    made: pl.DataFrame,
    row: Mapping[str, pl.DataType],
    protocol: str,
    chain: str,
    *,
    stated: pl.Expr,
    finality: timedelta,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What a protocol's Rows made as a clean table of lending has it, and LINE and `fault` of all of it.

    `row` are the table's columns beside those that tell where a row is from; what a protocol does not tell is null. `stated`
    is whether the event tells dollars.
    """
    absent = {name: kind for name, kind in {**row, "fault": pl.String()}.items() if name not in made.columns}
    made = made.with_columns(*(pl.lit(None, kind).alias(name) for name, kind in absent.items()))
    kept = made.filter(pl.col("fault").is_null()).select(
        pl.lit(chain).alias("chain"),
        pl.format("{}:{}", "tx_hash", "log_index").alias("event_id"),
        "tx_hash",
        "log_index",
        pl.lit(protocol).alias("protocol"),
        pl.col("address").alias("market"),
        "block_number",
        "occurred_at",
        *(pl.col(name).cast(kind) for name, kind in row.items()),
        # A dollar value in an event is the protocol's own, of its block.
        pl.when(stated).then(pl.lit("event")).alias("price_source"),
        pl.when(stated).then(pl.lit(0, pl.Int64)).alias("price_gap_seconds"),
        pl.lit("full").alias("completeness"),
        (pl.col("occurred_at") + finality).alias("available_at"),
        LINE,
    )
    return kept, made.select(LINE, "fault")


def absorbed(decoded: Decoded) -> pl.DataFrame:
    """Compound v3: a row per collateral absorbed. The debt of an absorption is one event behind its collateral's events; it
    stands on the last of them, so that it is counted once. Debt without collateral is bad debt and no row here."""
    seized = decoded[ABSORB_COLLATERAL.name].sort("log_index")
    carried = (
        placed_debts(decoded)
        .filter(~pl.col("lone"))
        .select(
            *ABSORPTION,
            pl.col("seized_at").alias("log_index"),
            pl.col("emitter_token").alias("debt_token"),
            pl.col("base_paid_out").alias("debt_amount_raw"),
            scaled("usd_value", 8).alias("debt_usd"),
        )
    )
    return seized.join(carried, on=[*ABSORPTION, "log_index"], how="left", maintain_order="left").select(
        *PLACE,
        "borrower",
        pl.col("absorber").alias("liquidator"),
        pl.col("asset").alias("collateral_token"),
        pl.col("collateral_absorbed").alias("collateral_amount_raw"),
        scaled("usd_value", 8).alias("collateral_usd"),
        "debt_token",
        "debt_amount_raw",
        "debt_usd",
    )


def placed_debts(decoded: Decoded) -> pl.DataFrame:
    """The absorbed debts of Compound v3 with `seized_at`, the log index of the last collateral before them in their
    absorption, and `lone` where there is none, or where it carries another debt already."""
    seized = decoded[ABSORB_COLLATERAL.name].sort("log_index")
    placed = decoded[ABSORB_DEBT.name].sort("log_index").join_asof(
        seized.select(*ABSORPTION, "log_index", pl.col("log_index").alias("seized_at")),
        on="log_index", by=list(ABSORPTION), strategy="backward", check_sortedness=False,
    )  # fmt: skip
    lone = pl.col("seized_at").is_null() | ~pl.struct(*ABSORPTION, "seized_at").is_first_distinct()
    return placed.with_columns(lone.alias("lone"))


def morpho(decoded: Decoded) -> pl.DataFrame:
    """Morpho Blue: the market's id stands for two tokens, which its creation names. Bad debt is not repaid debt."""
    return (
        decoded[MORPHO_LIQUIDATE.name]
        .join(morpho_markets(decoded), on="id", how="left", maintain_order="left")
        .select(
            *PLACE,
            "borrower",
            pl.col("caller").alias("liquidator"),
            "collateral_token",
            pl.col("seized_assets").alias("collateral_amount_raw"),
            pl.col("loan_token").alias("debt_token"),
            pl.col("repaid_assets").alias("debt_amount_raw"),
            pl.when(pl.col("collateral_token").is_null())
            .then(pl.format("the creation of market {} is not in the landing", "id"))
            .alias("fault"),
        )
    )


def morpho_markets(decoded: Decoded) -> pl.DataFrame:
    """What each market lends and takes: id, loan_token, collateral_token."""
    return decoded[MORPHO_CREATE_MARKET.name].select("id", "loan_token", "collateral_token").unique("id")


def euler(decoded: Decoded) -> pl.DataFrame:
    """Euler v2: what a vault lends is in its creation."""
    return euler_lent(decoded, EULER_LIQUIDATE).select(
        *PLACE,
        pl.col("violator").alias("borrower"),
        "liquidator",
        pl.col("collateral").alias("collateral_token"),
        pl.col("yield_balance").alias("collateral_amount_raw"),
        "debt_token",
        pl.col("repay_assets").alias("debt_amount_raw"),
        "fault",
    )


def euler_lent(decoded: Decoded, event: EventSpec) -> pl.DataFrame:
    """The logs of an event of vaults with `debt_token`, what the vault lends, and `fault` where its creation does not tell."""
    vaults = (
        decoded[EULER_PROXY_CREATED.name]
        .filter(pl.col("length") == "60")
        .select(pl.col("proxy").alias("address"), pl.col("trailing").str.slice(0, 42).alias("debt_token"))
        .unique("address")
    )
    untold = pl.format("the creation of vault {} does not tell its asset", "address")
    return (
        decoded[event.name]
        .join(vaults, on="address", how="left", maintain_order="left")
        .with_columns(pl.when(pl.col("debt_token").is_null()).then(untold).alias("fault"))
    )


# An ilk is a token's symbol and a letter, in ASCII: ETH-A, WBTC-B. Lower case, as sources without addresses name tokens.
_ILK_TOKEN: Final = (
    pl.col("ilk")
    .str.slice(2)
    .str.replace("(00)+$", "")
    .str.decode("hex", strict=False)
    .cast(pl.String, strict=False)
    .str.replace("-[A-Z0-9]+$", "")
    .str.to_lowercase()
)


def scaled(column: str, decimals: int) -> pl.Expr:
    """A decimal text as a number with `decimals` behind the point."""
    return pl.col(column).cast(pl.Float64) / 10.0**decimals


def _total(*columns: str) -> pl.Expr:
    """Sum of decimal texts that are amounts of one token: below 2^127 by far, and exact."""
    return pl.sum_horizontal(pl.col(name).cast(pl.Int128) for name in columns)


AAVE: Final = fields(
    borrower="user",
    liquidator="liquidator",
    collateral_token="collateral_asset",  # noqa: S106 - a token of a chain
    collateral_amount_raw="liquidated_collateral_amount",
    debt_token="debt_asset",  # noqa: S106
    debt_amount_raw="debt_to_cover",
)
AAVE_V1: Final = fields(
    borrower="user",
    liquidator="liquidator",
    collateral_token="collateral",  # noqa: S106
    collateral_amount_raw="liquidated_collateral_amount",
    debt_token="reserve",  # noqa: S106
    debt_amount_raw="purchase_amount",
)
COMPOUND_V2: Final = fields(
    borrower="borrower",
    liquidator="liquidator",
    collateral_token="ctoken_collateral",  # noqa: S106
    collateral_amount_raw="seize_tokens",
    debt_token="emitter_token",  # noqa: S106
    debt_amount_raw="repay_amount",
)
MAKER: Final = fields(
    borrower="urn",
    collateral_token=_ILK_TOKEN,
    collateral_amount=scaled("ink", 18),
    debt_token=pl.lit(DAI),
    # 45 decimals to Dai's 18; what is less than one of them is cut off.
    debt_amount_raw=pl.col("due").str.head(-27).replace("", "0"),
)
LIQUITY_V1: Final = fields(
    borrower="borrower",
    collateral_token=pl.lit(ETHER),
    collateral_amount_raw="coll",
    debt_token=pl.lit(LUSD),
    debt_amount_raw="debt",
)
_SEIZED: Final = _total("coll_sent", "coll_redistributed", "coll_gas_compensation")
LIQUITY_V2: Final = fields(
    collateral_token="emitter_token",  # noqa: S106
    collateral_amount_raw=_SEIZED.cast(pl.String),
    collateral_usd=_SEIZED.cast(pl.Float64) * pl.col("price").cast(pl.Float64) / 1e36,
    debt_token=pl.lit(BOLD),
    debt_amount_raw=_total("debt_offset", "debt_redistributed").cast(pl.String),
)
