"""Bitfinex v2: perpetuals, liquidations, open interest. Public endpoints of api-pub.bitfinex.com; no key.

Facts from Bitfinex's v2 documentation and from public collectors; anything not verified live is marked "?". Funding is not read:
no document says whether CURRENT_FUNDING (field 11 of the derivative status) is paid at the start or the end of its eight hours,
and a rate eight hours off would go unnoticed.

Open interest has a history, so its current state is not captured separately.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.core.universe import asset_unit
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
from pipelines.sources.account import leave_out
from pipelines.sources.cex.bitfinex_stream import STREAM
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    at_path,
    from_ms,
    kept,
    read_records,
    rejected,
    stamps_of,
)

NAME: Final = "bitfinex"
DERIVATIVE: Final = "F0:USTF0"
"""Suffix of perpetual pairs: F0 marks a derivative, UST is Bitfinex's name for USDT."""

CODES: Final = "/v2/conf/pub:map:currency:sym"
"""Bitfinex's codes of coins that are not their tickers."""

PAIRS: Final = (Field(0, "pair", str),)
LIQUIDATIONS: Final = (
    Field(1, "position", str),
    Field(2, "at_ms", int),
    Field(4, "instrument", str),
    Field(5, "amount", float),
    Field(8, "is_match", int),
    # The price at which the position was opened, and the one at which it was closed.
    Field(6, "entry_price", float, optional=True),
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
    """Raise for an error array, ["error", code, message], whatever the status."""
    response = page.json()
    if not (isinstance(response, list) and len(response) == 3 and response[0] == "error"):
        return
    code = response[1]
    message = f"{NAME}: {page.where}: error {code}: {response[2]}"
    if code == 11010:  # "ratelimit: error"; collectors report blocks of several minutes
        raise ThrottledError(message, wait_seconds=60.0)
    if code in (10000, 20060):  # unknown server error, maintenance
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Bitfinex's documentation.")


def pairs(page: Page) -> Sequence[Record]:
    """The pair names, a nested list, each as a record."""
    return [[name] for names in status(page) for name in names]


def positions(page: Page) -> Sequence[Record]:
    """Liquidations, each in an array of its own or all in one array; the documentation shows both."""
    return [row for rows in status(page) for row in rows]


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """The names of all derivative pairs, and the coins behind Bitfinex's codes; it publishes nothing else about them."""
    yield await api.get("/v2/conf/pub:list:pair:futures")
    yield await api.get(CODES)


def coins_by_code(page: Page) -> dict[str, str]:
    """Bitfinex's code of a coin and the coin: [[["ALG", "ALGO"], ["ATO", "ATOM"]]]."""
    try:
        return {str(pair[0]): str(pair[1]) for listed in status(page) for pair in listed}
    except (TypeError, IndexError) as error:
        raise SourceFormatError(f"{page.where}: expected pairs of a code and a coin: {page.excerpt}") from error


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as rows of clean.instruments, under the symbols of the other endpoints. Sizes are in coin (contract_size 1)."""
    lists = [page for page in pages if page.request.get("path") != CODES]
    coins = {code: coin for page in pages if page not in lists for code, coin in coins_by_code(page).items()}
    units = {code: asset_unit(coin) for code, coin in coins.items()}
    found = read_records(lists, pairs, PAIRS)
    frame = found.frame.with_columns(("t" + pl.col("pair")).alias("instrument"))
    code = pl.col("pair").str.strip_suffix(DERIVATIVE)
    joined = frame.join(
        parse_symbols(NAME, frame["instrument"]), on="instrument", how="left", maintain_order="left"
    ).with_columns(
        code.replace_strict(
            {c: u.asset for c, u in units.items()}, default=pl.col("asset"), return_dtype=pl.String
        ).alias("asset"),
        code.replace_strict(
            {c: u.multiplier for c, u in units.items()}, default=pl.col("multiplier"), return_dtype=pl.Float64
        ).alias("multiplier"),
    )
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
    unknown = rejected(
        joined.filter(pl.col("asset").is_null()),
        reason="unknown_instrument",
        detail="the name follows no rule of Bitfinex's",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([found.rejects, unknown]))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidations of all pairs, oldest first; both bounds are inclusive, and liquidations share milliseconds."""

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
        # Bitfinex's retention is undocumented (?). A span without any liquidation in any pair is treated as unpublished.
        raise NotYetPublishedError
    for page in pages:
        yield page


def numbered(page_records: RecordsOf) -> RecordsOf:
    """The first 12 fields of every record, with the number of its page as field 12."""
    numbers = itertools.count(1)

    def records_of(page: Page) -> Sequence[Record]:
        number = next(numbers)
        found = page_records(page)
        if short := next((row for row in found if len(row) < 12), None):
            raise SourceFormatError(f"{page.where}: expected 12 fields in a record, got {len(short)}: {page.excerpt}")
        return [[*row[:12], number] for row in found]  # type: ignore[index]

    return records_of


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Executed liquidations of perpetuals; amount > 0 is a long position.

    Each liquidation has one row for its trigger (field 8 is 0) and one per execution (field 8 is 1). Only executions are counted,
    since they have the price. Spot pairs are margin positions, not perpetuals; they stay in the landing.
    """
    found = read_records(pages, numbered(positions), LIQUIDATIONS)
    facts = ["position", "at_ms", "instrument", "amount_text", "price_text"]
    sized = context.instruments.select("instrument", pl.col("contract_size").alias("size"))
    frame = (
        kept(
            kept(found.frame, pl.col("instrument").str.ends_with(DERIVATIVE), "other_kind"),
            pl.col("is_match") == 1,
            "part_of_row",
        )
        .with_columns(pl.int_range(1, pl.len() + 1).over("page", *facts).alias("number"), from_ms("at_ms").alias("at"))
        .join(sized, on="instrument", how="left", maintain_order="left")
    )
    quantity = pl.col("amount").abs() * pl.col("size")
    rows = frame.filter(pl.col("size").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        # A position is closed in parts, so its number is not unique. Identical rows of one millisecond are on the same page.
        pl.concat_str([*facts, "number"], separator="-", ignore_nulls=True).alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        pl.col("at").alias("occurred_at"),
        pl.when(pl.col("amount") > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "price",
        # A price of nothing is no price.
        pl.when(pl.col("entry_price") > 0).then(pl.col("entry_price")).alias("entry_price"),
        quantity.alias("quantity_base"),
        (quantity * pl.col("price")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(pl.col("size").is_null()),
        reason="unknown_instrument",
        detail="in no capture of Bitfinex's pairs",
        stamp="at",
        instrument="instrument",
    )
    yield Parsed("liquidations", rows, pl.concat([found.rejects, unknown]))


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The status history of a derivative (about one row per minute?), oldest first; bounds are inclusive."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"/v2/status/deriv/{job.subject}/hist",
            subject=job.subject,
            params={"start": first, "end": last, "limit": STATUS_LIMIT, "sort": 1},
        )

    # A state belongs to the day it ends, so a day's last state may be the next day's 00:00.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    async for page in paginate_forward(get, stamps_of(status, 0), start=start, end=end, limit=STATUS_LIMIT):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The last status of every hour (h−1, h], in coin, at its own timestamp; one-sided (?)."""
    found = read_records(pages, status, STATUS)
    hour = (pl.col("at") - timedelta(microseconds=1)).dt.truncate("1h")
    leave_out(found.frame, "part_of_row")
    frame = (
        found.frame.with_columns(from_ms("at_ms").alias("at"))
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
    yield Parsed("open_interest", rows, found.rejects)


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api-pub.bitfinex.com"},
    # 10 to 90 requests per minute, depending on the endpoint; collectors run the derivative status at 18. Liquidations need about
    # 20 seconds between requests; a faster client is blocked for minutes.
    limits=(Limit(15, 60.0), Limit(1, 20.0, name=LIQUIDATION_BUDGET, share=1.0)),
    concurrency=2,
    check=check,
    notes="Few perpetuals, all linear. Settled funding is not read: it is unclear when a published rate was paid.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals quoted in USDT; the list has names only.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="All executed liquidations of perpetuals; history depth unverified.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            # 2: with the price at which positions were opened.
            parser_version=2,
            retention=Retention(since=date(2019, 9, 1)),
            partitioning=Partitioning(months="past"),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest at the end of every hour; history depth unverified.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=date(2020, 1, 1)),
            subjects=each_instrument(),
        ),
    ),
    streams=(STREAM,),
)
