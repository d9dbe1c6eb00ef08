"""Hyperliquid: perpetuals, funding, candles, the state of the hour, and its statistics page's liquidated notional. No key.

Facts from Hyperliquid's documentation; what was not seen live is marked "?". The venue's API has no list of its liquidations:
fills that carry one are shown per account only; hyperliquid_fills reads them elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from math import ceil
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import KnownGap, SourceRules
from pipelines.core.errors import RequestRefusedError, SourceFormatError
from pipelines.core.universe import parse_symbol
from pipelines.extract.paging import paginate_forward
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    WHOLE_VENUE,
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Span,
    Venue,
)
from pipelines.sources.dex.perpetuals import listed
from pipelines.sources.instruments import each_instrument, event_rules
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    at_path,
    from_ms,
    read_records,
    rejected,
    stamps_of,
)

NAME: Final = "hyperliquid"
HOUR_MS: Final = 3_600_000

WEIGHT: Final = "weight"
FUNDING_LIMIT: Final = 500
CANDLE_LIMIT: Final = 5000
CANDLES_KEPT_DAYS: Final = CANDLE_LIMIT // 24 - 1
"""Only the newest 5,000 candles of an interval can be had: 208 days of hours, the oldest of them cut."""

LIQUIDATED: Final = "/daily_notional_liquidated_by_coin"

UNIVERSE: Final = (Field("name", "instrument", str),)
FUNDING: Final = (Field("fundingRate", "rate", float), Field("time", "at_ms", int))
CANDLES: Final = (
    Field("t", "at_ms", int),
    *(Field(key, name, float) for key, name in zip("ohlc", ("open", "high", "low", "close"), strict=True)),
    Field("v", "volume_base", float),
    Field("n", "trades", int),
)
CONTEXTS: Final = (
    Field("name", "instrument", str),
    Field("isDelisted", "is_delisted", bool, optional=True),
    Field("openInterest", "oi_base", float),
    Field("funding", "rate", float),
    Field("markPx", "mark_price", float),
)
TOTALS: Final = (
    Field("time", "day_text", str),
    Field("coin", "instrument", str),
    Field("daily_notional_liquidated", "total_usd", float),
)

rows_of = at_path()
totals = at_path("chart_data")


def check(page: Page) -> None:
    """Errors have a status; what has none of what was asked for is answered with null."""
    if page.json() is None:
        raise RequestRefusedError(f"{NAME}: {page.where}: {asked(page)}: the answer is null: there is no such coin.")


def asked(page: Page) -> str:
    """The type of request a page answers: all of them have the same path."""
    return str(page.request["body"]["type"])


async def info(api: Api, body: Mapping[str, Any], *, subject: str = WHOLE_VENUE, extra: float = 0) -> Page:
    """One answer. Every request weighs 20, and `extra` for the rows it may bring."""
    return await api.post("/info", body=body, subject=subject, costs={WEIGHT: 20 + extra})


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All perpetuals there ever were; delisted ones stay in the list."""
    yield await info(api, {"type": "meta"})


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Named by their coin; kPEPE is a thousand PEPE. Sizes are in units of the instrument."""
    yield listed(NAME, read_records(pages, at_path("universe"), UNIVERSE))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, old to new, 500 to an answer, both bounds included: a month takes two pages."""

    async def get(first: int, last: int) -> Page:
        most = min(FUNDING_LIMIT, (last - first) // HOUR_MS + 1)
        body = {"type": "fundingHistory", "coin": job.subject, "startTime": first, "endTime": last}
        return await info(api, body, subject=job.subject, extra=ceil(most / 20))

    start, end = job.span.start_ms, job.span.end_ms
    async for page in paginate_forward(get, stamps_of(rows_of, "time"), start=start, end=end, limit=FUNDING_LIMIT):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction of their interval: hours today, 8 hours in May 2023. The payload does not say, so it is
    observed from the gaps.

    Funding settles on the hour; stamps are those of the block, up to half a second late and once 111 s (2025-07-27).
    """
    found = read_records(pages, rows_of, FUNDING)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        from_ms("at_ms").dt.round("1h").alias("settled_at"),
        "rate",
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles, old to new. A candle is in the answer where any of it lies in [startTime, endTime]."""

    async def get(first: int, last: int) -> Page:
        most = min(CANDLE_LIMIT, (last - first) // HOUR_MS + 1)
        request = {"coin": job.subject, "interval": "1h", "startTime": first, "endTime": last}
        return await info(api, {"type": "candleSnapshot", "req": request}, subject=job.subject, extra=ceil(most / 60))

    start, end, stamps = job.span.start_ms, job.span.end_ms, stamps_of(rows_of, "t")
    async for page in paginate_forward(get, stamps, start=start, end=end, limit=CANDLE_LIMIT, step=HOUR_MS):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in units of the instrument; what it was worth is not told. A candle received before its close is turned away."""
    found = read_records(pages, rows_of, CANDLES)
    frame = found.frame.with_columns(from_ms("at_ms").alias("opened_at"))
    closed_at = pl.col("opened_at") + timedelta(hours=1)
    moving = closed_at > pl.col("received_at")
    rows = frame.filter(~moving).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        "opened_at",
        *("open", "high", "low", "close", "volume_base", "trades"),
        closed_at.alias("available_at"),
        LINE,
    )
    early = rejected(
        frame.filter(moving), reason="undecodable", stamp="opened_at", field="t",
        detail="the candle was received before its close",
    )  # fmt: skip
    yield Parsed("candles", rows, pl.concat([found.rejects, early]))


async def fetch_contexts(api: Api, job: Job) -> AsyncIterator[Page]:
    """The state of all perpetuals now; no history of open interest can be had."""
    yield await info(api, {"type": "metaAndAssetCtxs"})


def contexts(page: Page) -> Sequence[Record]:
    """States with their names: the answer is two arrays, the list of perpetuals and their states in the same order."""
    try:
        meta, states = page.json()
        return [{**state, **named} for named, state in zip(meta["universe"], states, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(
            f"{page.where}: names and states of perpetuals do not match ({error}): {page.excerpt}"
        ) from error


def parse_contexts(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest in units of the instrument, one-sided (?), and the rate the coming hour would settle with, both as received:
    the answer has no stamp. Delisted perpetuals have neither and stay in the landing."""
    found = read_records(pages, contexts, CONTEXTS)
    frame = found.frame.filter(~pl.col("is_delisted").fill_null(value=False))
    shared = (pl.lit(NAME).alias("venue"), "instrument")
    states = frame.select(
        *shared,
        pl.lit("snapshot").alias("period"),
        pl.col("received_at").alias("event_at"),
        "oi_base",
        pl.col("oi_base").alias("oi_raw"),
        pl.lit("base").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", states, found.rejects)
    predicted = frame.select(
        *shared,
        pl.lit("predicted").alias("kind"),
        (pl.col("received_at").dt.truncate("1h") + timedelta(hours=1)).alias("settled_at"),
        "rate",
        # The running rate is said to be that of an hour.
        pl.lit(1.0).alias("interval_hours"),
        "mark_price",
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", predicted)


def _days(first: str, last: str | None = None) -> tuple[date, date]:
    return date.fromisoformat(first), date.fromisoformat(last or first)


HOLES: Final = (
    _days("2023-06-18"), _days("2023-06-29"), _days("2023-07-09"), _days("2023-07-21"), _days("2023-07-23"),
    _days("2023-07-28"), _days("2023-08-12", "2023-08-13"), _days("2023-09-09"), _days("2023-09-13"),
    _days("2023-09-21", "2023-10-02"),
)  # fmt: skip
"""Days without a row of any coin in a copy of the file that reaches to HOLES_KNOWN_TO."""
HOLES_KNOWN_TO: Final = date(2025, 5, 2)


async def fetch_liquidation_totals(api: Api, job: Job) -> AsyncIterator[Page]:
    """The whole history, which is one file. A day of which it says nothing is not published yet: coins are absent on days
    without liquidations, but there is no day without any. Months are only asked for when they are long over."""
    page = await api.get(LIQUIDATED, endpoint="stats", subject=job.subject)
    if len(job.span.days) == 1 and f"{job.span.start:%Y-%m-%d}" not in days_of(page):
        raise NotYetPublishedError
    yield page


def days_of(page: Page) -> set[str]:
    """The days the file has rows of, as it writes them."""
    try:
        return {row["time"][:10] for row in totals(page)}  # type: ignore[call-overload]
    except (KeyError, TypeError) as error:
        raise SourceFormatError(f"{page.where}: a row has no day in 'time': {page.excerpt}") from error


def parse_liquidation_totals(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidated notional of a coin and day, without sides, for the days of the landing: each landing holds the whole file.

    The page totals all fills of the chain, so nothing is throttled or sampled: full. Whether both sides of a liquidation are
    counted is not confirmed (?): a factor of two is possible, missing events are not.
    """
    found = read_records(pages, totals, TOTALS)
    frame = found.frame.with_columns(
        pl.col("day_text").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).alias("at")
    )
    names = frame["instrument"].unique()
    known = pl.col("instrument").is_in([name for name in names if parse_symbol(NAME, name) is not None])
    mine = frame.filter(pl.col("at").is_between(context.span.start, context.span.end, closed="left"))
    rows = mine.filter(known).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit("position_notional").alias("measure"),
        pl.lit("1d").alias("period"),
        pl.col("at").alias("event_at"),
        "total_usd",
        pl.lit("full").alias("completeness"),
        # The page is refreshed once a day.
        (pl.col("at") + timedelta(days=2)).alias("available_at"),
        LINE,
    )
    untimed = rejected(
        frame.filter(pl.col("at").is_null()), reason="unparsable", field="time", instrument="instrument",
        detail="no day like 2023-06-14T00:00:00",
    )  # fmt: skip
    unknown = rejected(
        mine.filter(~known), reason="unknown_instrument", stamp="at", instrument="instrument",
        detail="the name follows no rule of Hyperliquid's",
    )  # fmt: skip
    yield Parsed("liquidation_totals", rows, pl.concat([found.rejects, untimed, unknown]))


def liquidation_total_rules(spans: Sequence[Span]) -> SourceRules:
    """On which days a coin that is absent had no liquidations: those that were fetched by themselves, which were then in the
    file, and those of the copy whose holes are known. Of a later month that was fetched as one, nothing is claimed."""
    claimed = [
        Span.of_days(day, day) for span in spans for day in span.days if len(span.days) == 1 or day <= HOLES_KNOWN_TO
    ]
    feed = VENUE.feed("liquidation_totals")
    gaps = (KnownGap("liquidation_totals", first, last, "missing in the file, for every coin") for first, last in HOLES)
    return replace(event_rules(VENUE, feed, claimed), gaps=tuple(gaps))


OPENED: Final = date(2023, 5, 12)
"""First settlement that fundingHistory knows."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.hyperliquid.xyz", "stats": "https://d2v1fiwobg9w6.cloudfront.net"},
    limits=(Limit(1200, 60.0, name=WEIGHT),),
    concurrency=4,
    check=check,
    notes=(
        "Single liquidations are published per account only; `hyperliquid_fills` reads them elsewhere. `stats` is the "
        "unofficial source of the venue's statistics page: it may end or move without notice."
    ),
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals of the venue itself, delisted ones included.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates, hourly; every 8 hours in May 2023.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles, of which the venue keeps the newest 5,000.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=OPENED, days=CANDLES_KEPT_DAYS),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="contexts",
            tables=("open_interest", "funding_rates"),
            description="Open interest and the running funding rate of all perpetuals, captured every hour.",
            fetch=fetch_contexts,
            parse=parse_contexts,
            retention=Retention(since=OPENED),
            cadence=Capture(),
        ),
        Feed(
            name="liquidation_totals",
            tables=("liquidation_totals",),
            description="Liquidated notional per coin and day, without sides; unofficial, and perhaps counted from both sides.",
            fetch=fetch_liquidation_totals,
            parse=parse_liquidation_totals,
            # The file's first day, 2023-06-13, has one coin only: counting began during it.
            retention=Retention(since=date(2023, 6, 14)),
            cadence=Daily(published_after=timedelta(days=1), recheck_days=2),
            partitioning=Partitioning(months="past"),
            rules=liquidation_total_rules,
        ),
    ),
)
