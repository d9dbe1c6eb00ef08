"""Perpetuals of the exchanges that others deploy on Hyperliquid (HIP-3): their instruments and their current state.

Coins have the name of their exchange before them (xyz:TSLA); funding and candles of them are asked for as of any other coin. Facts
from Hyperliquid's documentation and from answers recorded in September and October 2026; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract import fetch_log
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.asset_class import OTHER
from pipelines.sources.dex.hyperliquid.capture import parse_contexts
from pipelines.sources.dex.hyperliquid.wire import UnknownNameError, info, request_type, root_array
from pipelines.sources.records import (
    Field,
    Record,
    Records,
    at_path,
    flattened,
    having,
    look_up,
    read_records,
    rejected,
)

STATES: Final = "metaAndAssetCtxs"
DEXES: Final = "perpDexs"
METAS: Final = "allPerpMetas"
CATEGORIES: Final = "perpCategories"
TOKENS: Final = "spotMeta"

CLASSES: Final = {
    "crypto": "crypto", "stock": "stock", "stocks": "stock", "preipo": "stock", "commodity": "commodity",
    "commodities": "commodity", "fx": "forex", "index": "index", "indices": "index", "rates": "bond",
}  # fmt: skip
"""Asset classes by category in lower case: every deployer spells them in its own way."""

DOLLARS: Final = {"USDT0": "USDT"}
"""Tokens that are named otherwise elsewhere."""

COINS: Final = (Field("name", "instrument", str), Field("collateralToken", "token", int))
CATEGORY: Final = (Field(0, "instrument", str), Field(1, "category", str))
TOKEN: Final = (Field("index", "token", int), Field("name", "token_name", str))
NAMES: Final = (Field("name", "dex", str),)


async def fetch_lists(api: Api) -> AsyncIterator[Page]:
    """Perpetuals of all exchanges, the categories that their deployers gave them, and the tokens they may settle in."""
    for kind in (METAS, CATEGORIES, TOKENS):
        yield await info(api, {"type": kind})


def of_type(pages: Sequence[Page], kind: str) -> list[Page]:
    return [page for page in pages if request_type(page) == kind]


def perpetuals(page: Page) -> Sequence[Record]:
    """The perpetuals of every exchange, each with the token that its exchange settles in."""
    return flattened(page, root_array(page), "universe", ("collateralToken",))


def deployed_perpetuals(pages: Sequence[Page]) -> Records:
    """Perpetuals that others deploy: `instrument`, `settled_in` and `stated`, their asset class. The list has the venue's own too,
    which feed `instruments` reads from `meta`. One that settles in an unknown token is rejected.

    A perpetual without a category may be anything, so it is none of the universe.
    """
    found = read_records(of_type(pages, METAS), perpetuals, COINS, needed=having("name", ":"))
    categories = look_up(of_type(pages, CATEGORIES), root_array, CATEGORY).frame.unique("instrument", keep="first")
    tokens = look_up(of_type(pages, TOKENS), at_path("tokens"), TOKEN).frame.unique("token", keep="first")
    frame = (
        found.frame.join(
            categories.select("instrument", "category"), on="instrument", how="left", maintain_order="left"
        )
        .join(tokens.select("token", "token_name"), on="token", how="left", maintain_order="left")
        .with_columns(
            pl.col("token_name").replace(DOLLARS).alias("settled_in"),
            pl.col("category")
            .str.to_lowercase()
            .replace_strict(CLASSES, default=OTHER, return_dtype=pl.String)
            .fill_null(OTHER)
            .alias("stated"),
        )
    )
    is_known = pl.col("settled_in").is_not_null()
    unknown = rejected(
        frame.filter(~is_known), reason="unknown_instrument", field="collateralToken", instrument="instrument",
        detail="the token it settles in is not listed",
    )  # fmt: skip
    return Records(frame.filter(is_known), pl.concat([found.rejects, unknown]))


def named_dexes(page: Page) -> Sequence[Record]:
    """The exchanges that others deploy; the first entry, null, is the venue's own."""
    return [one for one in root_array(page) if one is not None]


async def fetch_contexts(api: Api, job: Job) -> AsyncIterator[Page]:
    """The current state of the perpetuals of every exchange, one response each; there is no history. One that is not known any more
    loses none of the others."""
    listed = await info(api, {"type": DEXES})
    names = [str(one["name"]) for one in named_dexes(listed)]  # type: ignore[call-overload]
    yield listed
    for name in names:
        try:
            yield await info(api, {"type": STATES, "dex": name})
        except UnknownNameError as error:
            fetch_log.record("refused", f"{error} The exchange {name} was listed a moment before.", effect="noted")


def parse_deployed_contexts(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """As those of the venue's own perpetuals."""
    look_up(of_type(pages, DEXES), named_dexes, NAMES)
    yield from parse_contexts(of_type(pages, STATES), context)
