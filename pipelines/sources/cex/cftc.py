"""CFTC's weekly report, Traders in Financial Futures: open interest of CME's crypto futures. Public endpoint of Socrata; no key.

Rows have CME as venue, whose own files refuse programs. Facts from public inventories of CFTC's files; anything not verified live
is marked "?". Longs and shorts by class of trader stay in the landing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
    Api,
    Capture,
    Context,
    Counting,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.records import LINE, Field, Records, at_path, kept, read_records, rejected, within

NAME: Final = "cftc"
VENUE_ID: Final = "cme"
REPORT: Final = "/resource/gpe5-46if.json"
MOST_ROWS: Final = 1000

SIZES: Final = {
    "133741": ("BTC", 5.0), "133742": ("BTC", 0.1), "146021": ("ETH", 50.0), "146022": ("ETH", 0.1), "176740": ("XRP", 50_000.0),
    "176741": ("XRP", 2_500.0),
}  # fmt: skip
"""Coin and coins per contract of CME's futures by the report's code: all delivery months together."""

ROWS: Final = (
    Field("cftc_contract_market_code", "instrument", str),
    Field("report_date_as_yyyy_mm_dd", "day", str),
    Field("open_interest_all", "contracts", float),
)
LISTED: Final = (Field("cftc_contract_market_code", "instrument", str),)

COUNTING: Final = (
    Counting("one_sided", "CFTC's explanatory notes: contracts, of which longs and shorts are each the total"),
)
PUBLISHED_AFTER: Final = timedelta(days=4)
"""As of a Tuesday, published on Friday afternoon in Washington, later in weeks with holidays."""
PUBLISHED: Final = timedelta(days=2, hours=20, minutes=30)
"""From the end of Tuesday to the usual hour of publication."""

report = at_path()


def check(page: Page) -> None:
    """Raise for an error, {"error": true, "message": ...}; other responses are arrays."""
    response = page.json()
    if isinstance(response, dict) and response.get("error"):
        raise RequestRefusedError(
            f"{NAME}: {page.where}: {response.get('message')}. Compare the request with Socrata's documentation."
        )


async def _pages(api: Api, where: str, order: str) -> AsyncIterator[Page]:
    """Rows of our codes until a page is empty."""
    codes = ",".join(f"'{code}'" for code in SIZES)
    offset = 0
    while True:
        params: dict[str, str | int] = {
            "$where": f"cftc_contract_market_code in ({codes}) and {where}", "$order": order, "$limit": MOST_ROWS,
            "$offset": offset,
        }  # fmt: skip
        page = await api.get(REPORT, params=params)
        found = len(report(page))
        yield page
        if not found:
            return
        offset += found


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """The futures in the reports of the last weeks."""
    since = (job.span.start - timedelta(days=60)).date()
    async for page in _pages(api, f"report_date_as_yyyy_mm_dd >= '{since}T00:00:00'", "report_date_as_yyyy_mm_dd desc"):
        yield page


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row a code: linear futures in dollars, settled in cash."""
    found = read_records(pages, report, LISTED)
    frame = kept(found.frame, pl.col("instrument").is_first_distinct(), "counted_before")
    known, unknown = _with_sizes(Records(frame, found.rejects))
    rows = known.select(
        pl.lit(VENUE_ID).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        pl.lit("crypto").alias("asset_class"),
        pl.lit("USD").alias("quote"),
        pl.lit("linear").alias("contract_type"),
        pl.col("size").alias("contract_size"),
        pl.lit("base").alias("contract_size_unit"),
        pl.lit(1.0).alias("multiplier"),
        pl.lit(None, pl.Datetime("us")).alias("listed_at"),
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    yield Parsed("instruments", rows, unknown)


def _with_sizes(found: Records) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows with `asset` and `size`, and rejects with those of codes that are not known."""
    facts = pl.DataFrame(
        [(code, asset, size) for code, (asset, size) in SIZES.items()],
        schema={"instrument": pl.String, "asset": pl.String, "size": pl.Float64},
        orient="row",
    )
    joined = found.frame.join(facts, on="instrument", how="left", maintain_order="left")
    is_known = pl.col("asset").is_not_null()
    unknown = rejected(
        joined.filter(~is_known),
        reason="unknown_instrument",
        instrument="instrument",
        detail="no code of CME's futures",
    )
    return joined.filter(is_known), pl.concat([found.rejects, unknown])


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The reports of the span's days: one a week."""
    first, last = job.span.days[0], job.span.days[-1]
    where = f"report_date_as_yyyy_mm_dd between '{first}T00:00:00' and '{last}T23:59:59'"
    async for page in _pages(api, where, "report_date_as_yyyy_mm_dd,cftc_contract_market_code"):
        yield page


def lacks_weeks(pages: Sequence[Page], job: Job) -> bool:
    """Whether the report of a Tuesday is missing: a closed government publishes it later."""
    told = {
        str(row.get("report_date_as_yyyy_mm_dd"))[:10]
        for page in pages
        for row in report(page)
        if isinstance(row, dict)
    }
    return any(day.weekday() == 1 and str(day) not in told for day in job.span.days)


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Contracts at the end of the report's day, in coins."""
    found = read_records(pages, report, ROWS)
    stamped = found.frame.with_columns(
        (pl.col("day").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False) + timedelta(days=1)).alias(
            "event_at"
        )
    )
    undated = rejected(
        stamped.filter(pl.col("event_at").is_null()), reason="unparsable", field="report_date_as_yyyy_mm_dd",
        instrument="instrument", detail="no date",
    )  # fmt: skip
    dated = within(stamped.filter(pl.col("event_at").is_not_null()), "event_at", context, closed="right")
    known, unknown = _with_sizes(Records(dated, pl.concat([found.rejects, undated])))
    rows = known.select(
        pl.lit(VENUE_ID).alias("venue"),
        "instrument",
        pl.lit("snapshot").alias("period"),
        "event_at",
        (pl.col("contracts") * pl.col("size")).alias("oi_base"),
        pl.col("contracts").alias("oi_raw"),
        pl.lit("contracts").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        (pl.col("event_at") + PUBLISHED).alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", rows, unknown)


SINCE: Final = date(2018, 4, 10)
"""The first report with bitcoin futures."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://publicreporting.cftc.gov"},
    # No number is published for requests without a token.
    limits=(Limit(2, 1.0),),
    concurrency=1,
    check=check,
    notes=(
        "For CME, whose own files refuse programs. Public domain. One figure a week, all delivery months together; weeks are "
        "missing or late while the government is closed. Funding, candles and liquidations do not exist there."
    ),
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="CME's bitcoin, ether and XRP futures, with their contract sizes.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=SINCE),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="One-sided open interest on Tuesdays, published on Fridays.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            lacks=lacks_weeks,
            counting=COUNTING,
            retention=Retention(since=SINCE),
            cadence=Daily(published_after=PUBLISHED_AFTER, recheck_days=3),
            partitioning=Partitioning(most_days=ALL_DAYS),
        ),
    ),
)
