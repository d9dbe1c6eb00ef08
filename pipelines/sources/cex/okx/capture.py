"""Captures of data that OKX does not keep: liquidation orders (about the last day) and option chains.

Facts from OKX's v5 documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.contract.batch import CoverageSpan, KnownGap, SourceRules
from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import canonical_asset
from pipelines.extract.venue import Api, Context, Job, Page, Parsed, Span
from pipelines.sources.cex.okx import wire
from pipelines.sources.records import LINE, SUBJECT, Field, Record, flattened, from_ms, read_records, rejected

NAME: Final = wire.NAME
SWAP: Final = "-SWAP"

LIQUIDATION_LIMIT: Final = 100
LIQUIDATIONS_REACH: Final = timedelta(hours=20)
"""How far back a capture is assumed complete. OKX documents about one day; the difference is a safety margin (?)."""

LIQUIDATION: Final = (
    Field("instId", "instrument", str),
    Field("posSide", "position_side", str),
    Field("side", "order_side", str),
    Field("bkPx", "price", float),
    Field("sz", "contracts", float),
    Field("ts", "at_ms", int),
    Field("bkPx", "price_text", str),
    Field("sz", "size_text", str),
    Field("page", "page", int),
)

OPTION: Final = (
    Field("instId", "instrument", str),
    Field("uly", "underlying_pair", str),
    Field("optType", "kind", str),
    Field("stk", "strike", float),
    Field("expTime", "expires_ms", int),
)
OPTION_INTEREST: Final = (
    Field("instId", "instrument", str),
    Field("oiCcy", "oi_base", float),
)
# `delta` is for the premium in coin and leaves [-1, 1] deep in the money; deltaBS is the one other venues publish.
OPTION_SUMMARY: Final = (
    Field("instId", "instrument", str),
    Field("markVol", "mark_iv", float, optional=True),
    Field("fwdPx", "underlying_price", float, optional=True),
    Field("deltaBS", "delta", float, optional=True),
)
OPTION_MARK: Final = (Field("instId", "instrument", str), Field("markPx", "mark_price_base", float, optional=True))
OPTION_TICKER: Final = (Field("instId", "instrument", str), Field("volCcy24h", "volume_24h_base", float, optional=True))
INDEX: Final = (Field("instId", "underlying_pair", str), Field("idxPx", "index_price", float))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """All liquidations OKX still has of one swap, newest first.

    `after` is exclusive and liquidations share milliseconds, so the oldest timestamp of a page is requested again; repeated rows
    get the same id. The last page therefore has no older rows.
    """
    stamps = wire.stamps("ts", liquidation_details)
    oldest: int | None = None
    while True:
        bound = {} if oldest is None else {"after": oldest + 1}
        page = await wire.get(
            api, wire.LIQUIDATIONS, job.subject,
            instType="SWAP", instFamily=job.subject.removesuffix(SWAP), state="filled", limit=LIQUIDATION_LIMIT, **bound,
        )  # fmt: skip
        seen = stamps(page)
        yield page
        if not seen or (oldest is not None and min(seen) >= oldest):
            if len(seen) >= LIQUIDATION_LIMIT:
                raise SourceFormatError(
                    f"{page.where}: a full page of {len(seen)} rows, none older than the bound: OKX ignores the bound or one "
                    "millisecond fills a page; rows may be missing."
                )
            return
        oldest = min(seen)


def liquidation_details(page: Page) -> Sequence[dict[str, object]]:
    """The events of a page, flattened: OKX nests them by contract."""
    return flattened(page, wire.records(page), "details", ("instId",))


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Sizes are in contracts (0.1 ETH, 100 dollars of bitcoin); the price is the bankruptcy price, the only one published.

    posSide is the side of the liquidated position. In net mode it is `net`, and the order side decides: a sell closed a long.
    Events identical in all fields are numbered within their page, so that an event has the same id in every capture and on every
    page.
    """

    numbers = itertools.count()

    def records_of(page: Page) -> Sequence[Record]:
        number = next(numbers)
        return [{**detail, "page": number} for detail in liquidation_details(page)]

    found = read_records(pages, records_of, LIQUIDATION)
    sizes = context.instruments.select("instrument", "contract_type", "contract_size", "contract_size_unit")
    identical = ("page", "instrument", "at_ms", "position_side", "order_side", "price_text", "size_text")
    position, order = pl.col("position_side"), pl.col("order_side")
    by_order = order.replace_strict({"sell": "long", "buy": "short"}, default=None)
    frame = found.frame.join(sizes, on="instrument", how="left", maintain_order="left").with_columns(
        pl.when(position.is_in(["long", "short"])).then(position).otherwise(by_order).alias("side"),
        pl.int_range(pl.len()).over(identical).alias("number"),
        from_ms("at_ms").alias("occurred_at"),
        (pl.col("contracts") * pl.col("contract_size")).alias("amount"),
    )
    # A forced order closes its position; contradicting sides cannot be decoded.
    is_decodable = by_order.is_not_null() & (pl.col("side") == by_order)
    is_sized = (pl.col("contract_size").is_not_null() & pl.col("contract_size_unit").is_in(["base", "usd"])).fill_null(
        value=False
    )
    in_dollars = pl.col("contract_size_unit") == "usd"
    rows = frame.filter(is_decodable, is_sized).select(
        pl.lit(NAME).alias("venue"),
        pl.concat_str("instrument", "at_ms", "side", "price_text", "size_text", "number", separator=":").alias(
            "liquidation_id"
        ),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        "occurred_at",
        "side",
        "price",
        pl.when(in_dollars).then(pl.col("amount") / pl.col("price")).otherwise("amount").alias("quantity_base"),
        pl.when(in_dollars).then("amount").otherwise(pl.col("amount") * pl.col("price")).alias("notional_usd"),
        # OKX's websocket pushes at most one liquidation per contract and second; whether this list has more is unknown (?).
        pl.lit("throttled").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("occurred_at").alias("available_at"),
        LINE,
    )
    unsized = rejected(
        frame.filter(is_decodable, ~is_sized), reason="unknown_instrument", stamp="occurred_at", instrument="instrument",
        detail="no capture of OKX's instruments states its contract size",
    )  # fmt: skip
    undecodable = rejected(
        frame.filter(~is_decodable.fill_null(value=False)), reason="undecodable", stamp="occurred_at", instrument="instrument",
        detail="posSide and side do not say which position was closed", field="posSide",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, unsized, undecodable]))


def liquidation_rules(spans: Sequence[Span]) -> SourceRules:
    """A day is covered if captures, each of which includes LIQUIDATIONS_REACH before it, span all of it. Partly covered days are
    gaps, so that missing rows are not mistaken for few liquidations."""
    reach = sorted((span.start - LIQUIDATIONS_REACH, span.start) for span in spans)
    merged: list[tuple[datetime, datetime]] = []
    for start, end in reach:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    covered: list[CoverageSpan] = []
    gaps: list[KnownGap] = []
    for start, end in merged:
        touched = Span(start, end).days
        whole = [day for day in touched if start <= midnight(day) and midnight(day) + timedelta(days=1) <= end]
        if whole:
            covered.append(CoverageSpan("liquidations", NAME, whole[0], whole[-1]))
        gaps += [
            KnownGap("liquidations", day, day, "captured for a part of the day only", kind="never asked")
            for day in touched
            if day not in whole
        ]
    return SourceRules(spans=tuple(covered), gaps=tuple(gaps))


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)


async def fetch_option_chain(api: Api, job: Job) -> AsyncIterator[Page]:
    """Every listed option family: contracts, open interest, volatilities, mark prices, volume and the index."""
    page = await wire.get(api, wire.UNDERLYINGS, instType="OPTION")
    listed = families(page)
    yield page
    for family in listed:
        for path in (wire.INSTRUMENTS, wire.OPEN_INTEREST_NOW, wire.MARK_PRICES, wire.TICKERS):
            yield await wire.get(api, path, instType="OPTION", instFamily=family)
        yield await wire.get(api, wire.OPTION_SUMMARY, instFamily=family)
        yield await wire.get(api, wire.INDEX_TICKERS, instId=family)


def families(page: Page) -> list[str]:
    """Families in the response of public/underlying, a nested list: [["BTC-USD", "ETH-USD"]]."""
    return [str(family) for listed in wire.records(page) if isinstance(listed, list) for family in listed]


def parse_option_chain(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per option with open interest, stamped with the time of the last open-interest page.

    Open interest, volume and mark price are in coin (oiCcy, volCcy24h, markPx), volatility is a fraction, prices are in dollars.
    Values missing from the other lists are null: OKX summarizes only options it can mark.
    """
    paths = (
        wire.INSTRUMENTS, wire.OPEN_INTEREST_NOW, wire.OPTION_SUMMARY, wire.MARK_PRICES, wire.TICKERS, wire.INDEX_TICKERS
    )  # fmt: skip
    fields = (OPTION, OPTION_INTEREST, OPTION_SUMMARY, OPTION_MARK, OPTION_TICKER, INDEX)
    options, interest, summary, mark, ticker, index = (
        read_records(matching, wire.records, columns)
        for matching, columns in zip(wire.by_path(pages, *paths), fields, strict=True)
    )
    if interest.frame.is_empty() and interest.rejects.is_empty():
        return
    # One timestamp for the whole chain, since families on the same coin form one snapshot.
    captured_at = interest.frame.select(pl.col("received_at").max()).item() or context.fetched_at
    frame = interest.frame.select("instrument", "oi_base", SUBJECT, LINE)
    for other, key in ((options, "instrument"), (summary, "instrument"), (mark, "instrument"), (ticker, "instrument"),
                       (index, "underlying_pair")):  # fmt: skip
        latest = other.frame.drop(SUBJECT, "received_at", LINE).unique(key, keep="last", maintain_order=True)
        frame = frame.join(latest, on=key, how="left", maintain_order="left")
    known = pl.col("strike").is_not_null() & pl.col("kind").is_in(["C", "P"])
    coins = pl.col("underlying_pair").str.split("-").list.first()
    rows = frame.filter(known).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit(captured_at, pl.Datetime("us")).alias("snapshot_at"),
        coins.replace_strict(
            {c: canonical_asset(c) for c in frame.select(coins).to_series().drop_nulls().unique()}
        ).alias("underlying"),
        from_ms("expires_ms").dt.date().alias("expiry_date"),
        "strike",
        pl.col("kind").replace_strict({"C": "call", "P": "put"}).alias("option_type"),
        "oi_base",
        "volume_24h_base",
        "mark_iv",
        # Only families quoted in USD are margined and quoted in coin.
        pl.when(pl.col("underlying_pair").str.ends_with("-USD")).then("mark_price_base").alias("mark_price_base"),
        "underlying_price",
        "index_price",
        "delta",
        pl.lit(captured_at, pl.Datetime("us")).alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(~known.fill_null(value=False)), reason="unknown_instrument", instrument="instrument",
        detail="OKX's list of options does not have it",
    )  # fmt: skip
    others = [part.rejects for part in (options, interest, summary, mark, ticker, index)]
    yield Parsed("option_chain", rows, pl.concat([*others, unknown]))
