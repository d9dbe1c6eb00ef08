"""Bybit v5: instruments, open interest, settled funding. Public endpoints of api.bybit.com; no key.

Facts from Bybit's v5 documentation; what was not seen live is marked "?". Nothing here opens a database.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.errors import RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.extract.limits import Limit
from pipelines.extract.paging import pages_backward, pages_by_cursor
from pipelines.extract.venue import Api, Context, Feed, Job, Page, Parsed, Venue
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import LINE, SUBJECT, Field, at_path, from_ms, read_records, rejected, stamps_of
from pipelines.universe import parse_symbol

NAME: Final = "bybit"

# Bybit counts both sides of a contract in openInterest; singleOpenInterest (one side) is there since 2026-06-11.
OPEN_INTEREST: Final = (
    Field("openInterest", "both_sides", float),
    Field("singleOpenInterest", "one_side", float, optional=True),
    Field("timestamp", "at_ms", int),
)
FUNDING: Final = (
    Field("fundingRate", "rate", float),
    Field("fundingRateTimestamp", "at_ms", int),
)
INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("baseCoin", "base", str),
    Field("quoteCoin", "quote", str),
    Field("contractType", "kind", str),
    Field("status", "status", str),
    Field("launchTime", "launch_ms", int),
    Field("deliveryTime", "delivery_ms", int, optional=True),
)
TICKERS: Final = (Field("symbol", "instrument", str), Field("turnover24h", "turnover_usd", float))
PERPETUALS: Final = {"LinearPerpetual": "linear", "InversePerpetual": "inverse"}
OI_LIMIT: Final = 200
FUNDING_LIMIT: Final = 200
INSTRUMENTS_LIMIT: Final = 1000


def check(page: Page) -> None:
    """Bybit answers 200 to almost everything; retCode says what it means."""
    answer = page.json()
    code = answer.get("retCode")
    if code == 0:
        return
    said = f"{NAME}: {page.where}: retCode {code}: {answer.get('retMsg')}"
    if code == 10006:  # "Too many visits": the next window of 5 seconds is free again
        raise ThrottledError(said, wait_seconds=5.0)
    if code in (10000, 10016, 10018):  # server time-out, internal error, IP-level overload
        raise VenueUnavailableError(said)
    raise RequestRefusedError(f"{said}. Compare the request with Bybit's documentation.")


def category(job: Job) -> str:
    """`linear` or `inverse`: Bybit keeps the two apart in every request."""
    return str(job.instrument["contract_type"])


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All linear and inverse contracts, those that are no longer traded included where Bybit still lists them."""
    for kind in ("linear", "inverse"):
        for status in ("Trading", "Closed"):

            async def get(cursor: str | None, kind: str = kind, status: str = status) -> Page:
                params: dict[str, str | int] = {"category": kind, "status": status, "limit": INSTRUMENTS_LIMIT}
                return await api.get(
                    "/v5/market/instruments-info", params=params | ({"cursor": cursor} if cursor else {})
                )

            async for page in pages_by_cursor(get, lambda page: page.json()["result"].get("nextPageCursor")):
                yield page


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as clean.instruments. Linear sizes are in base coin already (contract_size 1); inverse ones are one dollar."""
    records = read_records(pages, at_path("result", "list"), INSTRUMENTS)
    perpetuals = records.frame.filter(pl.col("kind").is_in(list(PERPETUALS)))
    names = perpetuals["instrument"].unique(maintain_order=True)
    facts = [(name, parse_symbol(NAME, name)) for name in names]
    known = pl.DataFrame(
        [
            {"instrument": name, "asset": f.asset, "multiplier": f.multiplier, "quote": f.quote}
            for name, f in facts
            if f is not None
        ],
        schema={"instrument": pl.String, "asset": pl.String, "multiplier": pl.Float64, "quote": pl.String},
    )
    joined = perpetuals.drop("quote").join(known, on="instrument", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("asset").is_null())
    linear = pl.col("kind") == "LinearPerpetual"
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        pl.col("kind").replace_strict(PERPETUALS).alias("contract_type"),
        pl.lit(1.0).alias("contract_size"),
        pl.when(linear).then(pl.lit("base")).otherwise(pl.lit("usd")).alias("contract_size_unit"),
        "multiplier",
        from_ms("launch_ms").alias("listed_at"),
        pl.when(pl.col("delivery_ms") > 0).then(from_ms("delivery_ms")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    turned_away = rejected(
        unknown, reason="unknown_instrument", detail="the name follows no rule of Bybit's", instrument="instrument"
    )
    yield Parsed("instruments", rows, pl.concat([records.rejects, turned_away]))


async def fetch_turnover(api: Api, job: Job) -> AsyncIterator[Page]:
    """Tickers of all linear contracts in one answer: what was traded in the last 24 hours."""
    yield await api.get("/v5/market/tickers", params={"category": "linear"})


def parse_turnover(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Nothing for the clean tables: the pages rank assets (turnover)."""
    yield from ()


def turnover(pages: Sequence[Page]) -> Mapping[str, float]:
    """Dollars traded in 24 hours by asset. Linear turnover is in USDT or USDC, taken at one dollar for a ranking."""
    frame = read_records(pages, at_path("result", "list"), TICKERS).frame
    facts = ((name, parse_symbol(NAME, name)) for name in frame["instrument"])
    assets = {name: fact.asset for name, fact in facts if fact is not None and fact.contract_type == "linear"}
    ranked = (
        frame.with_columns(
            pl.col("instrument").replace_strict(assets, default=None, return_dtype=pl.String).alias("asset")
        )
        .drop_nulls("asset")
        .group_by("asset")
        .agg(pl.col("turnover_usd").sum())
    )
    return dict(ranked.iter_rows())


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Five-minute open interest, newest first; the bounds are inclusive."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/open-interest",
            subject=job.subject,
            params={
                "category": category(job), "symbol": job.subject, "intervalTime": "5min",
                "startTime": first, "endTime": last, "limit": OI_LIMIT,
            },
        )  # fmt: skip

    # A day's last state is the one of 00:00 of the day after: states belong to the day that ends with them.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    async for page in pages_backward(
        get, stamps_of(at_path("result", "list"), "timestamp"), start=start, end=end, limit=OI_LIMIT
    ):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One side, in base coin (linear) or dollars (inverse); halved where only both sides are given."""
    records = read_records(pages, at_path("result", "list"), OPEN_INTEREST)
    kinds = context.instruments.select(pl.col("instrument").alias(SUBJECT), "contract_type")
    frame = records.frame.join(kinds, on=SUBJECT, how="left", maintain_order="left")
    amount = pl.coalesce("one_side", pl.col("both_sides") / 2)
    inverse = pl.col("contract_type") == "inverse"
    known = frame.filter(pl.col("contract_type").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("5m").alias("period"),
        from_ms("at_ms").alias("event_at"),
        pl.when(~inverse).then(amount).alias("oi_base"),
        pl.when(inverse).then(amount).alias("oi_usd"),
        pl.coalesce("one_side", "both_sides").alias("oi_raw"),
        pl.when(inverse).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("oi_raw_unit"),
        pl.when(pl.col("one_side").is_null()).then(pl.lit("halved")).otherwise(pl.lit("one_sided")).alias("counting"),
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    unknown = frame.filter(pl.col("contract_type").is_null())
    turned_away = rejected(unknown, reason="unknown_instrument", detail="in no capture of Bybit's instruments")
    yield Parsed("open_interest", known, pl.concat([records.rejects, turned_away]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, newest first. There is no cursor, and startTime without endTime is an error."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/funding/history",
            subject=job.subject,
            params={
                "category": category(job), "symbol": job.subject,
                "startTime": first, "endTime": last, "limit": FUNDING_LIMIT,
            },
        )  # fmt: skip

    stamps = stamps_of(at_path("result", "list"), "fundingRateTimestamp")
    async for page in pages_backward(get, stamps, start=job.span.start_ms, end=job.span.end_ms, limit=FUNDING_LIMIT):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction of the interval. The interval is not in the payload: it is observed from the gaps."""
    records = read_records(pages, at_path("result", "list"), FUNDING)
    rows = records.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        from_ms("at_ms").alias("settled_at"),
        "rate",
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, records.rejects)


IS_PERPETUAL: Final = pl.col("contract_type").is_in(["linear", "inverse"])

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.bybit.com"},
    # 600 requests in 5 seconds per address, else HTTP 403 and ten minutes of silence.
    limits=(Limit(600, 5.0),),
    concurrency=16,
    forbidden_wait=600.0,
    check=check,
    # The end of every answer: retExtInfo and the server's clock.
    volatile=re.compile(rb',"time":\d+'),
    turnover=turnover,
    feeds=(
        Feed(
            name="turnover",
            tables=(),
            description="Turnover of 24 hours by contract, which ranks assets for the universe; feeds no table.",
            fetch=fetch_turnover,
            parse=parse_turnover,
            since=date(2020, 1, 1),
            cadence="capture",
            every_hours=24,
        ),
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Linear and inverse perpetuals, traded and closed.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            since=date(2020, 1, 1),
            cadence="capture",
            every_hours=24,
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest every 5 minutes, one-sided, back to an instrument's launch.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            since=date(2020, 1, 1),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates, back to an instrument's launch.",
            fetch=fetch_funding,
            parse=parse_funding,
            since=date(2020, 1, 1),
            subjects=each_instrument(IS_PERPETUAL),
            by_month=True,
            published_after=timedelta(hours=1),
        ),
    ),
)
