"""DefiLlama: hourly dollar prices of the tokens that events name, used to value on-chain events. No key; nothing else is read.

Facts from DefiLlama's documentation and public clients; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Context, Feed, Job, Page, Parsed, Partitioning, Retention, Venue
from pipelines.sources.account import leave_out
from pipelines.sources.chain.evm import chains
from pipelines.sources.chain.solana.base58 import ADDRESS
from pipelines.sources.records import LINE, Field, Record, from_seconds, read_records, with_facts, within
from pipelines.sources.tokens import NATIVE, receipts, registered

NAME: Final = "defillama"

CHAINS: Final[Mapping[str, str]] = {chain.name: chain.defillama for chain in chains.CHAINS} | {"solana": "solana"}
"""DefiLlama's chain names by ours."""

# DefiLlama's placeholder address of a chain's native coin.
COIN: Final = "0x" + "0" * 40

POINTS_AT_ONCE: Final = 480
"""Points per request: twenty days of hours. More than 500 are refused (?)."""

SEARCH_SECONDS: Final = 1800
"""Maximum distance of a price from the hour it is returned for."""

PRICES: Final = (
    Field("chain", "chain", str),
    Field("token", "token", str),
    Field("timestamp", "at_seconds", int),
    Field("price", "price_usd", float),
    Field("decimals", "decimals", int, optional=True),
    Field("confidence", "confidence", float, optional=True),
)


PRICED_ALWAYS: Final = ("ETH", "WETH", "WBTC", "wstETH", "USDC", "USDT", "DAI")
"""Tokens on Ethereum that price an asset, or a protocol's unit of account, on every chain."""

TOKEN: Final = f"^(0x[0-9a-f]{{40}}|{ADDRESS})$"


def subjects(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
    """The tokens that are always asked for, as "<chain>:<token>"."""
    always = registered().filter(pl.col("chain") == "ethereum", pl.col("symbol").is_in(PRICED_ALWAYS))
    return {f"ethereum:{token}": {} for token in always["token"]}


def named(events: pl.DataFrame) -> Iterator[str]:
    """The tokens that rows of lending events name, registered or not, and what receipts among them stand for."""
    columns = [name for name in ("collateral_token", "debt_token") if name in events.columns]
    told = pl.concat([events.select("chain", pl.col(name).alias("token")) for name in columns]).drop_nulls().unique()
    claims = receipts().rename({"underlying_token": "below"})
    by_symbol = registered().select("chain", pl.col("symbol").str.to_lowercase().alias("token"), address="token")
    told = pl.concat([told, told.join(claims, on=["chain", "token"]).select("chain", pl.col("below").alias("token"))])
    addresses = told.join(by_symbol, on=["chain", "token"], how="left").select(
        "chain", pl.coalesce("address", "token").alias("token")
    )
    known = (
        addresses.filter(pl.col("chain").is_in([*CHAINS]), pl.col("token").str.contains(TOKEN)).unique().sort(pl.all())
    )
    return (f"{chain}:{token}" for chain, token in known.iter_rows())


def coin_of(subject: str) -> str:
    """The service's id of a token."""
    chain, _, token = subject.partition(":")
    return f"{CHAINS[chain]}:{COIN if token == NATIVE else token}"


async def fetch_prices(api: Api, job: Job) -> AsyncIterator[Page]:
    """The price nearest to every full hour of the span; hours without a price within SEARCH_SECONDS have no point."""
    at, hours = job.span.start, int((job.span.end - job.span.start) / timedelta(hours=1))
    while hours > 0:
        points = min(hours, POINTS_AT_ONCE)
        yield await api.get(
            f"/chart/{coin_of(job.subject)}",
            subject=job.subject,
            params={
                "start": int((at - datetime(1970, 1, 1)).total_seconds()), "span": points, "period": "1h",
                "searchWidth": SEARCH_SECONDS,
            },
        )  # fmt: skip
        at, hours = at + timedelta(hours=points), hours - points


def points_of(page: Page) -> Sequence[Record]:
    """The points of the requested token, each with the token's decimals and confidence. Unknown tokens are missing from the
    response."""
    coins = page.json().get("coins") if isinstance(page.json(), dict) else None
    if not isinstance(coins, dict):
        raise SourceFormatError(f"{page.where}: expected an object in 'coins': {page.excerpt}")
    chain, _, token = page.subject.partition(":")
    # Addresses come back as requested or in checksum capitalization (?).
    requested = coin_of(page.subject)
    coin = next((coin for name, coin in coins.items() if name.lower() == requested.lower()), None)
    if coin is None:
        return []
    if not isinstance(coin, dict) or not isinstance(coin.get("prices"), list):
        raise SourceFormatError(f"{page.where}: expected an array in 'prices' of {requested}: {page.excerpt}")
    shared = {
        "chain": chain, "token": token, "decimals": coin.get("decimals"), "confidence": coin.get("confidence"),
    }  # fmt: skip
    return [with_facts(point, **shared) for point in coin["prices"]]


def parse_prices(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per point, at the point's own timestamp. Points outside the span belong to the neighboring landing; a point returned
    for two hours is one row."""
    found = read_records(pages, points_of, PRICES)
    timed = within(found.frame.with_columns(from_seconds("at_seconds").alias("priced_at")), "priced_at", context)
    leave_out(timed, "counted_before")
    rows = timed.unique(["chain", "token", "priced_at", "price_usd"], keep="first", maintain_order=True).select(
        "chain",
        "token",
        "priced_at",
        "price_usd",
        pl.col("decimals").cast(pl.Int32),
        pl.lit(NAME).alias("price_source"),
        "confidence",
        # The service records prices live but does not say when a point became available.
        pl.col("priced_at").alias("available_at"),
        LINE,
    )
    yield Parsed("token_prices", rows, found.rejects)


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://coins.llama.fi"},
    # Published as 500 per minute (?).
    limits=(Limit(300, 60.0),),
    concurrency=4,
    notes=(
        "Prices aggregated from exchanges and oracles, with the service's confidence. Marts use one only if no candle in the "
        "warehouse closed in the day before an event."
    ),
    feeds=(
        Feed(
            name="prices",
            tables=("token_prices",),
            description="Hourly dollar prices of the tokens that landed events name, with decimals and confidence.",
            fetch=fetch_prices,
            parse=parse_prices,
            retention=Retention(since=date(2020, 1, 1)),
            partitioning=Partitioning(months="past"),
            subjects=subjects,
            follows=("lending_liquidations", "lending_bad_debt"),
            named=named,
            parser_version=2,
        ),
    ),
)
