"""Bitfinex v2: derivative pairs, liquidations, open interest. Public endpoints of api-pub.bitfinex.com; no key.

Facts from Bitfinex's v2 documentation and from public collectors; what was not seen live is marked "?". Funding is not here:
whether CURRENT_FUNDING (field 11 of the derivative status) is paid at the start or at the end of its eight hours is written
nowhere, and a rate eight hours off would pass for a true one. Nothing here opens a database.

The history of open interest is asked for by the day when it is over: the state of the moment is not captured beside it.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.paging import paginate_forward
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    at_path,
    from_ms,
    read_records,
    rejected,
    stamps_of,
)

NAME: Final = "bitfinex"
DERIVATIVE: Final = "F0:USTF0"
"""How the pairs of its perpetuals end; F0 is a derivative, UST its name of USDT."""

PAIRS: Final = (Field(0, "pair", str),)
LIQUIDATIONS: Final = (
    Field(1, "position", str),
    Field(2, "at_ms", int),
    Field(4, "instrument", str),
    Field(5, "amount", float),
    Field(8, "is_match", int),
    # Where the position was closed; field 6 is where it was opened.
    Field(11, "price", float, optional=True),
    Field(5, "amount_text", str),
    Field(11, "price_text", str, optional=True),
    Field(12, "page", int),
)
STATUS: Final = (Field(0, "at_ms", int), Field(17, "open_interest", float))
LIQUIDATION_LIMIT: Final = 500
STATUS_LIMIT: Final = 5000
LIQUIDATION_BUDGET: Final = "liquidations"

status: Final[RecordsOf] = at_path()


def check(page: Page) -> None:
    """Errors are arrays too: ["error", code, message]. They come with any status."""
    answer = page.json()
    if not (isinstance(answer, list) and len(answer) == 3 and answer[0] == "error"):
        return
    said = f"{NAME}: {page.where}: error {answer[1]}: {answer[2]}"
    if answer[1] == 11010:  # "ratelimit: error"; collectors report minutes of silence
        raise ThrottledError(said, wait_seconds=60.0)
    if answer[1] in (10000, 20060):  # unknown trouble of theirs, maintenance
        raise VenueUnavailableError(said)
    raise RequestRefusedError(f"{said}. Compare the request with Bitfinex's documentation.")


def pairs(page: Page) -> Sequence[Record]:
    """The names of a list in a list, each as a record."""
    return [[name] for names in status(page) for name in names]


def positions(page: Page) -> Sequence[Record]:
    """Liquidations, which come each in an array of its own (or all in one: the documents show both)."""
    return [row for rows in status(page) for row in rows]


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """The names of all derivative pairs; Bitfinex tells nothing else of them."""
    yield await api.get("/v2/conf/pub:list:pair:futures")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as clean.instruments, under the names the other endpoints use. Sizes are in coins (contract_size 1)."""
    read = read_records(pages, pairs, PAIRS)
    frame = read.frame.with_columns(("t" + pl.col("pair")).alias("instrument"))
    joined = frame.join(parse_symbols(NAME, frame["instrument"]), on="instrument", how="left", maintain_order="left")
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        pl.lit(1.0).alias("contract_size"),
        pl.lit("base").alias("contract_size_unit"),
        "multiplier",
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    strange = rejected(
        joined.filter(pl.col("asset").is_null()),
        reason="unknown_instrument",
        detail="the name follows no rule of Bitfinex's",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([read.rejects, strange]))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidations of all pairs, old to new; both bounds are included, and positions share milliseconds."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v2/liquidations/hist",
            params={"start": first, "end": last, "limit": LIQUIDATION_LIMIT, "sort": 1},
            costs={LIQUIDATION_BUDGET: 1.0},
        )

    pages = [
        page
        async for page in paginate_forward(
            get,
            stamps_of(positions, 2),
            start=job.span.start_ms,
            end=job.span.end_ms,
            limit=LIQUIDATION_LIMIT,
            step=0,
        )
    ]
    if not any(positions(page) for page in pages):
        # How far back Bitfinex goes is unwritten (?). Days without one liquidation in any pair are taken for untold.
        raise NotYetPublishedError
    for page in pages:
        yield page


def numbered(page_records: RecordsOf) -> RecordsOf:
    """The records, cut or filled to 12 fields, with the number of the page they came on as field 12."""
    numbers = itertools.count(1)

    def records_of(page: Page) -> Sequence[Record]:
        number = next(numbers)
        found = page_records(page)
        if short := next((row for row in found if len(row) < 12), None):
            raise SourceFormatError(f"{page.where}: a record of {len(short)} fields and not 12: {page.excerpt}")
        return [[*row[:12], number] for row in found]  # type: ignore[index]

    return records_of


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Executed liquidations of perpetuals; amount > 0 is a long position.

    Each liquidation has a row for its trigger (field 8 is 0) and one for each execution (1). Executions are counted: they
    have the price. Pairs of the spot market are margin positions and no perpetuals; they stay in the landing.
    """
    read = read_records(pages, numbered(positions), LIQUIDATIONS)
    facts = ["position", "at_ms", "instrument", "amount_text", "price_text"]
    sized = context.instruments.select("instrument", pl.col("contract_size").alias("size"))
    frame = (
        read.frame.filter(pl.col("is_match") == 1, pl.col("instrument").str.ends_with(DERIVATIVE))
        .with_columns(pl.int_range(1, pl.len() + 1).over("page", *facts).alias("twin"), from_ms("at_ms").alias("at"))
        .join(sized, on="instrument", how="left", maintain_order="left")
    )
    quantity = pl.col("amount").abs() * pl.col("size")
    rows = frame.filter(pl.col("size").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        # A position is closed in parts: its number alone is no id. Twins of one millisecond come on one page.
        pl.concat_str([*facts, "twin"], separator="-", ignore_nulls=True).alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        pl.col("at").alias("occurred_at"),
        pl.when(pl.col("amount") > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "price",
        quantity.alias("quantity_base"),
        (quantity * pl.col("price")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    stray = rejected(
        frame.filter(pl.col("size").is_null()),
        reason="unknown_instrument",
        detail="in no capture of Bitfinex's pairs",
        stamp="at",
        instrument="instrument",
    )
    yield Parsed("liquidations", rows, pl.concat([read.rejects, stray]))


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The status of a derivative as often as Bitfinex kept it (about once a minute?), old to new; bounds are included."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"/v2/status/deriv/{job.subject}/hist",
            subject=job.subject,
            params={"start": first, "end": last, "limit": STATUS_LIMIT, "sort": 1},
        )

    # A day's last state may be the one of 00:00 of the day after: states belong to the day that ends with them.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    async for page in paginate_forward(get, stamps_of(status, 0), start=start, end=end, limit=STATUS_LIMIT):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The last status of every hour (h−1, h], in coins, at its own instant; one-sided (?)."""
    read = read_records(pages, status, STATUS)
    hour = (pl.col("at") - timedelta(microseconds=1)).dt.truncate("1h")
    frame = (
        read.frame.with_columns(from_ms("at_ms").alias("at"))
        .with_columns(hour.alias("hour"))
        .sort(SUBJECT, "at", LINE)
        .unique([SUBJECT, "hour"], keep="last", maintain_order=True)
    )
    rows = frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("1h").alias("period"),
        pl.col("at").alias("event_at"),
        pl.col("open_interest").alias("oi_base"),
        pl.col("open_interest").alias("oi_raw"),
        pl.lit("base").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", rows, read.rejects)


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api-pub.bitfinex.com"},
    # Between 10 and 90 requests a minute by endpoint; collectors run the derivative status at 18. Liquidations want about 20
    # seconds between two requests and answer a second one sooner with minutes of silence.
    limits=(Limit(15, 60.0), Limit(1, 20.0, name=LIQUIDATION_BUDGET, share=1.0)),
    concurrency=2,
    check=check,
    notes="Its perpetuals are few and all linear. Settled funding is not read: when a published rate was paid is unclear.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals in tether, by name.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Every executed liquidation of a perpetual; depth unverified.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=date(2019, 9, 1)),
            partitioning=Partitioning(months="past"),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest at the end of every hour; depth unverified.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=date(2020, 1, 1)),
            subjects=each_instrument(),
        ),
    ),
)
