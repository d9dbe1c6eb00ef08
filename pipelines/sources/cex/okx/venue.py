"""OKX v5: the venue, its feeds and instruments. Public endpoints of www.okx.com; no key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import asset_unit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.asset_class import asset_class, with_asset_class
from pipelines.sources.cex.okx import archive, capture, history, risk_tiers, streams, wire
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, from_ms, read_records, rejected
from pipelines.sources.risk_tiers import feed_of_risk_tiers

NAME: Final = wire.NAME

SWAPS: Final = (
    Field("instId", "instrument", str),
    Field("ctType", "contract_type", str),
    Field("ctVal", "contract_value", float),
    Field("ctMult", "contract_multiplier", float),
    Field("ctValCcy", "contract_currency", str),
    Field("listTime", "listed_ms", int, optional=True),
    Field("expTime", "delisted_ms", int, optional=True),
    Field("instCategory", "category", str, optional=True),
)
CLASSES: Final = {"1": "crypto", "3": "stock", "4": "commodity", "5": "forex", "6": "bond"}
"""Asset classes by OKX's instCategory."""


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """Swaps listed now, and the coins with statistics. Contract sizes change, so both are captured daily."""
    yield await wire.get(api, wire.INSTRUMENTS, instType="SWAP")
    yield await wire.get(api, wire.SUPPORTED_COINS)


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Swaps with contract size ctVal × ctMult in ctValCcy, and <coin>-CONTRACTS for OKX's statistics of a whole coin."""
    listed, supported = wire.by_path(pages, wire.INSTRUMENTS, wire.SUPPORTED_COINS)
    found = read_records(listed, wire.records, SWAPS)
    # The contract type comes from the list itself.
    base = pl.col("instrument").str.split("-").list.first().alias("base")
    known = parse_symbols(NAME, found.frame["instrument"]).drop("contract_type").with_columns(base)
    # Linear contracts are sized in coin (0.01 BTC), inverse ones in dollars (100 USD).
    currency = pl.col("contract_currency")
    unit = pl.when(currency == pl.col("base")).then(pl.lit("base")).when(currency == "USD").then(pl.lit("usd"))
    named = found.frame.join(known, on="instrument", how="left", maintain_order="left").with_columns(
        unit.alias("contract_size_unit")
    )
    frame = with_asset_class(named, asset_class("category", CLASSES))
    is_supported = (
        pl.col("asset").is_not_null()
        & pl.col("contract_size_unit").is_not_null()
        & pl.col("contract_type").is_in(["linear", "inverse"])
    )
    rows = frame.filter(is_supported).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "asset_class",
        "quote",
        "contract_type",
        (pl.col("contract_value") * pl.col("contract_multiplier")).alias("contract_size"),
        "contract_size_unit",
        "multiplier",
        pl.when(pl.col("listed_ms") > 0).then(from_ms("listed_ms")).alias("listed_at"),
        # Empty until the swap's delisting is announced.
        from_ms("delisted_ms").alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(~is_supported), reason="unknown_instrument", instrument="instrument",
        detail="name, ctType or ctValCcy follows no rule of OKX's swaps",
    )  # fmt: skip
    coins = _whole_coins(supported, first_line=found.frame.height + found.rejects.height + 1)
    yield Parsed("instruments", pl.concat([rows, coins]), pl.concat([found.rejects, unknown]))


def _whole_coins(pages: Sequence[Page], *, first_line: int) -> pl.DataFrame:
    """<coin>-CONTRACTS for every coin with statistics. It is not a contract: it has no size, and it is `linear` only because
    its amounts are in coin."""
    coins = [
        {"coin": coin, "asset": unit.asset, "multiplier": unit.multiplier, "received_at": page.received_at}
        for page in pages
        for coin, unit in ((coin, asset_unit(coin)) for coin in supported_coins(page))
    ]
    schema = {
        "coin": pl.String(), "asset": pl.String(), "multiplier": pl.Float64(), "received_at": pl.Datetime("us"),
    }  # fmt: skip
    frame = pl.DataFrame(coins, schema=schema).unique("coin", keep="last", maintain_order=True)
    return frame.select(
        pl.lit(NAME).alias("venue"),
        (pl.col("coin") + history.ALL_CONTRACTS).alias("instrument"),
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        pl.lit("crypto").alias("asset_class"),
        pl.lit("USD").alias("quote"),
        pl.lit("linear").alias("contract_type"),
        pl.lit(None, pl.Float64).alias("contract_size"),
        pl.lit(None, pl.String).alias("contract_size_unit"),
        "multiplier",
        pl.lit(None, pl.Datetime("us")).alias("listed_at"),
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        pl.int_range(first_line, first_line + pl.len(), dtype=pl.Int64).alias(LINE),
    )


def supported_coins(page: Page) -> list[str]:
    """Coins with statistics of contracts: {"contract": [...], "option": [...], "spot": [...]}."""
    data = page.json().get("data")
    if not isinstance(data, Mapping) or not isinstance(data.get("contract"), list):
        raise SourceFormatError(f"{page.where}: expected an array in data.contract: {page.excerpt}")
    return [str(coin) for coin in data["contract"]]


IS_SWAP: Final = pl.col("instrument").str.ends_with(capture.SWAP)
IS_WHOLE_COIN: Final = pl.col("instrument").str.ends_with(history.ALL_CONTRACTS)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://www.okx.com", "files": f"https://{archive.FILE_HOST}"},
    limits=wire.LIMITS,
    concurrency=16,
    check=wire.check,
    notes="OKX keeps statistics for 2 to 240 days, depending on the period, and liquidations for about a day.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetual swaps with their contract sizes, and the coins with statistics.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of swaps: 5-minute data for 5 days, hourly for 60, 4-hourly for 240.",
            fetch=history.fetch_open_interest,
            parse=history.parse_open_interest,
            retention=Retention(since=date(2024, 1, 1), days=239),  # 1,440 entries of 4 hours (?)
            subjects=each_instrument(IS_SWAP),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled (realized) funding rates of the last three months.",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=date(2020, 1, 1), days=89),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_SWAP),
        ),
        Feed(
            name="funding_archive",
            tables=("funding_rates",),
            description="Settled funding rates since 2022-03, from monthly files, completed from daily ones.",
            fetch=archive.fetch_funding,
            lacks=archive.lacks,
            parse=archive.parse_funding,
            retention=Retention(since=date(2022, 3, 1)),
            # A month's last hours are in the next month's file, which is published a few days after that month ends.
            cadence=Daily(published_after=timedelta(days=36)),
            partitioning=Partitioning(months="only"),
            subjects=each_instrument(IS_SWAP),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of swaps since listing.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=date(2020, 1, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_SWAP),
        ),
        Feed(
            name="positioning",
            tables=("long_short_ratios",),
            description="Long/short account ratio and taker volume of a coin over all its contracts: 5-minute data for 2 days, "
            "hourly for 30.",
            fetch=history.fetch_positioning,
            parse=history.parse_positioning,
            retention=Retention(since=date(2020, 1, 1), days=29),
            subjects=each_instrument(IS_WHOLE_COIN),
        ),
        Feed(
            name="top_traders",
            tables=("long_short_ratios",),
            description="Long/short ratios of top traders in a swap, by account and by position: 5-minute data for 5 days, "
            "hourly for 60, 4-hourly for 240.",
            fetch=history.fetch_top_traders,
            parse=history.parse_top_traders,
            retention=Retention(since=date(2024, 1, 1), days=239),
            subjects=each_instrument(IS_SWAP),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Liquidation orders of swaps, about the last day, captured every hour.",
            fetch=capture.fetch_liquidations,
            parse=capture.parse_liquidations,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(),
            subjects=each_instrument(IS_SWAP),
            completeness="throttled",
            rules=capture.liquidation_rules,
        ),
        Feed(
            name="option_chain",
            tables=("option_chain",),
            description="Option chains: open interest, volume, implied volatility and delta, captured every hour.",
            fetch=capture.fetch_option_chain,
            parse=capture.parse_option_chain,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(),
        ),
        feed_of_risk_tiers(
            risk_tiers.fetch_risk_tiers,
            risk_tiers.parse_risk_tiers,
            what="of swaps in cross margin",
            subjects=each_instrument(IS_SWAP),
        ),
    ),
    streams=(streams.STREAM,),
)
