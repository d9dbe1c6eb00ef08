"""History of Kraken's perpetuals: open interest and account ratios (market analytics), settled funding, candles.

Facts from Kraken's documentation and from public collectors; anything not verified live is marked "?". The analytics are
undocumented and of unknown depth. Their liquidation-volume is not read: it is one number without a side, in a unit that collectors
disagree about.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Api, Context, Fetch, Job, Page, Parsed
from pipelines.sources.cex.kraken.wire import (
    NAME,
    instant,
    iso_instant,
    open_interest,
    pages_while_more,
    unknown_contracts,
    with_contracts,
)
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    at_path,
    read_records,
    rejected,
    settlement,
    stamps_of,
    within,
)

OPEN_INTEREST: Final = (Field("timestamp", "at", int), Field("close", "contracts", float))
ACCOUNTS: Final = (
    Field("timestamp", "at", int),
    Field("longCount", "longs", int),
    Field("shortCount", "shorts", int),
)
# relativeFundingRate is a fraction; fundingRate is in dollars per contract and hour.
FUNDING: Final = (Field("timestamp", "at", str), Field("relativeFundingRate", "rate", float))
CANDLES: Final = (
    Field("time", "at", int),
    Field("open", "open", float),
    Field("high", "high", float),
    Field("low", "low", float),
    Field("close", "close", float),
    Field("volume", "contracts", float),
)
PERIOD: Final = timedelta(minutes=5)


def open_interest_rows(page: Page) -> Sequence[Record]:
    """Open interest of the analytics as records: {"result": {"timestamp": [...], "data": [[open, high, low, close], ...]}}."""
    stamps, data = (at_path("result", key)(page) for key in ("timestamp", "data"))
    if len(stamps) != len(data):
        raise SourceFormatError(f"{page.where}: {len(stamps)} timestamps but {len(data)} values: {page.excerpt}")
    if short := next((row for row in data if not isinstance(row, list) or len(row) != 4), None):
        raise SourceFormatError(
            f"{page.where}: expected [open, high, low, close], got {short!r}; the venue's format changed."
        )
    return [{"timestamp": stamp, "close": row[3]} for stamp, row in zip(stamps, data, strict=True)]  # type: ignore[index]


def account_rows(page: Page) -> Sequence[Record]:
    """Accounts of the analytics as records: {"result": {"timestamp": [...], "data": {"longCount": [...], "shortCount": [...]}}}."""
    stamps = at_path("result", "timestamp")(page)
    longs, shorts = (at_path("result", "data", key)(page) for key in ("longCount", "shortCount"))
    if not len(stamps) == len(longs) == len(shorts):
        raise SourceFormatError(
            f"{page.where}: {len(stamps)} timestamps but {len(longs)} long and {len(shorts)} short counts: {page.excerpt}"
        )
    return [
        {"timestamp": stamp, "longCount": long, "shortCount": short}
        for stamp, long, short in zip(stamps, longs, shorts, strict=True)
    ]


def more_of_series(page: Page) -> bool:
    result: Mapping[str, Any] = page.json()["result"]
    if not isinstance(result.get("more"), bool):
        raise SourceFormatError(f"{page.where}: expected a boolean in result.more: {page.excerpt}")
    return bool(result["more"])


def fetch_analytics(kind: str, rows: RecordsOf) -> Fetch:
    """A series of the market analytics in 5-minute buckets, oldest first, at most 2000 per page."""

    async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
        async def get(first: int, last: int) -> Page:
            return await api.get(
                f"/api/charts/v1/analytics/{job.subject}/{kind}",
                subject=job.subject,
                params={"since": first, "to": last, "interval": int(PERIOD.total_seconds())},
            )

        start, end = job.span.start_ms // 1000, job.span.end_ms // 1000
        async for page in pages_while_more(get, stamps_of(rows, "timestamp"), more_of_series, start=start, end=end):
            yield page

    return fetch


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The close of each bucket, i.e. the state at its end, in coin (PF) or dollars (PI?). Timestamps are bucket starts; the last
    bucket may be incomplete. Buckets outside the span belong to other landings."""
    found = read_records(pages, open_interest_rows, OPEN_INTEREST)
    frame = with_contracts(found.frame, context).with_columns(
        instant("at").alias("opened_at"), (instant("at") + PERIOD).alias("event_at")
    )
    frame = within(frame, "opened_at", context)
    rows = frame.filter(pl.col("type").is_not_null()).select(*open_interest("5m", pl.col("event_at")), LINE)
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown_contracts(frame, "opened_at")]))


def parse_accounts(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Long over short accounts at the end of each bucket (?). Without any account there is no ratio."""
    found = read_records(pages, account_rows, ACCOUNTS)
    frame = found.frame.with_columns(instant("at").alias("opened_at"), (instant("at") + PERIOD).alias("event_at"))
    frame = within(frame, "opened_at", context)
    has_accounts = (pl.col("longs") + pl.col("shorts")) > 0
    rows = frame.filter(has_accounts).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("account_global").alias("measure"),
        pl.lit("5m").alias("period"),
        "event_at",
        pl.when(pl.col("shorts") > 0).then(pl.col("longs") / pl.col("shorts")).alias("ratio"),
        (pl.col("longs") / (pl.col("longs") + pl.col("shorts"))).alias("long_share"),
        pl.col("event_at").alias("available_at"),
        LINE,
    )
    without_accounts = rejected(
        frame.filter(~has_accounts), reason="sentinel", detail="no accounts on either side", stamp="opened_at"
    )
    yield Parsed("long_short_ratios", rows, pl.concat([found.rejects, without_accounts]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """All settlements of a perpetual; the endpoint has no bounds."""
    yield await api.get(
        "/derivatives/api/v4/historicalfundingrates", subject=job.subject, params={"symbol": job.subject}
    )


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settlements of the span, as a fraction per interval (an hour, since when?). The timestamp is taken as the settlement time
    (?). Settlements outside the span belong to other landings."""
    found = read_records(pages, at_path("rates"), FUNDING)
    frame = found.frame.with_columns(settlement(iso_instant("at")).alias("settled_at"))
    settled = pl.col("settled_at")
    timed = within(frame.filter(settled.is_not_null()), "settled_at", context, answers="history")
    # An unreadable timestamp becomes null, which the contract rejects.
    rows = pl.concat([timed, frame.filter(settled.is_null())]).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settled.alias("settled_at"),
        "rate",
        settled.alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


def more_candles(page: Page) -> bool:
    more = page.json().get("more_candles")
    if not isinstance(more, bool):
        raise SourceFormatError(f"{page.where}: expected a boolean in 'more_candles': {page.excerpt}")
    return more


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of trades, oldest first."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"/api/charts/v1/trade/{job.subject}/1h", subject=job.subject, params={"from": first, "to": last}
        )

    async for page in pages_while_more(
        get,
        stamps_of(at_path("candles"), "time"),
        more_candles,
        start=job.span.start_ms // 1000,
        end=job.span.end_ms // 1000,
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Hourly candles of the span. Volume is in contracts, i.e. coin (PF) or dollars (PI); the other unit is not published."""
    found = read_records(pages, at_path("candles"), CANDLES)
    frame = with_contracts(found.frame, context).with_columns(instant("at").alias("opened_at"))
    frame = within(frame, "opened_at", context)
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts") * pl.col("size")
    rows = frame.filter(pl.col("type").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        "opened_at",
        "open",
        "high",
        "low",
        "close",
        pl.when(~inverse).then(amount).alias("volume_base"),
        pl.when(inverse).then(amount).alias("volume_quote"),
        (pl.col("opened_at") + timedelta(hours=1)).alias("available_at"),
        LINE,
    )
    yield Parsed("candles", rows, pl.concat([found.rejects, unknown_contracts(frame, "opened_at")]))
