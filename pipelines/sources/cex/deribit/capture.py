"""Captures of Deribit's current state: option chains, and open interest of perpetuals. Neither has a history.

Facts from Deribit's documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError
from pipelines.core.universe import canonical_asset, parse_symbol
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.cex.deribit import wire
from pipelines.sources.records import LINE, Field, Record, from_ms, having, kept, look_up, read_records, rejected

NAME: Final = wire.NAME

OPTIONS: Final = (
    Field("instrument_name", "instrument", str),
    Field("option_type", "option_type", str),
    Field("strike", "strike", float),
    Field("expiration_timestamp", "expires_ms", int),
    Field("base_currency", "base", str),
    Field("quote_currency", "quote", str),
)
OPTION_SUMMARY: Final = (
    Field("instrument_name", "instrument", str),
    Field("open_interest", "oi_base", float),
    Field("volume", "volume_24h_base", float, optional=True),
    Field("mark_iv", "mark_iv_percent", float, optional=True),
    Field("mark_price", "mark_price", float, optional=True),
    Field("underlying_price", "underlying_price", float, optional=True),
)
INDEX: Final = (Field("index_name", "index_name", str), Field("index_price", "index_price", float))
IS_OPTION: Final = having("instrument_name", r"-[CP]$")
"""Lists of options may hold combos (BTC-CS-28JUL23-29000_31000), which have neither strike nor expiration."""
PERPETUAL_SUMMARY: Final = (
    Field("instrument_name", "instrument", str),
    Field("open_interest", "open_interest", float),
    Field("volume", "volume", float, optional=True),
    Field("creation_timestamp", "at_ms", int),
)


async def fetch_option_chain(api: Api, job: Job) -> AsyncIterator[Page]:
    """All options: the summaries first, so that the instrument lists fetched after them include every option, then the
    settlement indices."""
    indices: dict[str, None] = {}
    for currency in wire.CURRENCIES:
        yield await wire.get(api, wire.BOOK_SUMMARY, currency=currency, kind="option")
        listed = await wire.get(api, wire.INSTRUMENTS, currency=currency, kind="option", expired="false")
        yield listed
        names = read_records([listed], wire.results, OPTIONS, needed=IS_OPTION).frame.select(index_name()).to_series()
        indices |= dict.fromkeys(names.unique(maintain_order=True))
    for name in indices:
        try:
            yield await wire.get(api, wire.INDEX_PRICE, index_name=name)
        except RequestRefusedError:
            # A chain cannot be fetched later, so a refused index name only leaves index_price null.
            continue


def index_name() -> pl.Expr:
    """The settlement index of an option: btc_usd for inverse options, which are quoted in coin, sol_usdc for linear ones."""
    quote = pl.when(pl.col("quote") == pl.col("base")).then(pl.lit("USD")).otherwise("quote")
    return pl.concat_str("base", quote, separator="_").str.to_lowercase().alias("index_name")


def index_prices(page: Page) -> Sequence[Record]:
    """The price in a response, with the requested index name, which the response does not repeat."""
    return [{**wire.result(page, "index_price"), "index_name": page.request["params"]["index_name"]}]


def parse_option_chain(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per option, all stamped with the time of the last summary.

    Open interest and volume are in coin; volatility is converted from percent to a fraction. Inverse options are quoted in coin;
    linear ones are quoted in USDC and converted to coin at the forward, as Deribit quotes inverse ones. Strike and expiry come
    from the instrument list, since names write a decimal point as d (0d625). Summaries have no delta.
    """
    summaries, lists, prices = wire.by_path(pages, wire.BOOK_SUMMARY, wire.INSTRUMENTS, wire.INDEX_PRICE)
    if not summaries:
        return
    summary = read_records(summaries, wire.results, OPTION_SUMMARY, needed=IS_OPTION)
    options = look_up(lists, wire.results, OPTIONS, needed=IS_OPTION)
    index = look_up(prices, index_prices, INDEX)
    captured_at = max(page.received_at for page in summaries)
    listed = options.frame.with_columns(index_name()).drop("subject", "received_at", LINE)
    priced = index.frame.drop("subject", "received_at", LINE)
    frame = summary.frame.join(
        listed.unique("instrument", keep="last", maintain_order=True),
        on="instrument",
        how="left",
        maintain_order="left",
    ).join(
        priced.unique("index_name", keep="last", maintain_order=True),
        on="index_name",
        how="left",
        maintain_order="left",
    )
    known = pl.col("strike").is_not_null() & pl.col("option_type").is_in(["call", "put"])
    assets = {base: canonical_asset(base) for base in listed["base"].drop_nulls().unique()}
    in_coin = pl.col("quote") == pl.col("base")
    rows = frame.filter(known).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit(captured_at, pl.Datetime("us")).alias("snapshot_at"),
        pl.col("base").replace_strict(assets, return_dtype=pl.String).alias("underlying"),
        from_ms("expires_ms").dt.date().alias("expiry_date"),
        "strike",
        "option_type",
        "oi_base",
        "volume_24h_base",
        (pl.col("mark_iv_percent") / 100).alias("mark_iv"),
        pl.when(in_coin)
        .then("mark_price")
        .otherwise(pl.col("mark_price") / pl.col("underlying_price"))
        .alias("mark_price_base"),
        "underlying_price",
        "index_price",
        pl.lit(None, pl.Float64).alias("delta"),
        pl.lit(captured_at, pl.Datetime("us")).alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(~known.fill_null(value=False)), reason="unknown_instrument", instrument="instrument",
        detail="Deribit's list of options does not have it",
    )  # fmt: skip
    yield Parsed("option_chain", rows, pl.concat([summary.rejects, options.rejects, index.rejects, unknown]))


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Summaries of all futures. Deribit has no history of open interest."""
    for currency in wire.CURRENCIES:
        yield await wire.get(api, wire.BOOK_SUMMARY, currency=currency, kind="future")


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided open interest of perpetuals, in dollars (inverse) or coin (linear). Dated futures stay in the landing."""
    found = read_records(pages, wire.results, PERPETUAL_SUMMARY, needed=having("instrument_name", f"{wire.PERPETUAL}$"))
    perpetuals = kept(found.frame, pl.col("instrument").str.ends_with(wire.PERPETUAL), "other_kind")
    facts = {name: parse_symbol(NAME, name) for name in perpetuals["instrument"].unique()}
    contract_types = {name: f.contract_type for name, f in facts.items() if f is not None}
    frame = perpetuals.with_columns(
        pl.col("instrument").replace_strict(contract_types, default=None, return_dtype=pl.String).alias("contract_type")
    )
    frame, sentinels = counting.without_sentinels(
        frame, ("open_interest",), ("volume",), stamp="received_at", instrument="instrument"
    )
    inverse = pl.col("contract_type") == "inverse"
    rows = frame.filter(pl.col("contract_type").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit("snapshot").alias("period"),
        from_ms("at_ms").alias("event_at"),
        pl.when(~inverse).then("open_interest").alias("oi_base"),
        pl.when(inverse).then("open_interest").alias("oi_usd"),
        pl.col("open_interest").alias("oi_raw"),
        pl.when(inverse).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(pl.col("contract_type").is_null()), reason="unknown_instrument", instrument="instrument",
        detail="the name follows no rule of Deribit's",
    )  # fmt: skip
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown, sentinels]))
