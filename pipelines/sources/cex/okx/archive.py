"""OKX's files of settled funding: a ZIP per swap and month since 2022-03 and one per day, listed by public/market-data-history
(2025-09). Days that a month's file lacks, or whose month has no file, are read from files of days.

Only funding is read from files; the API has candles since listing (history.py).
Facts from OKX's documentation and from public records of the files; anything not verified live is marked "?".
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from io import BytesIO
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import current, exceeded
from pipelines.extract.venue import Api, Context, Job, NotYetPublishedError, Page, Parsed, Span, milliseconds
from pipelines.sources.cex.okx import wire
from pipelines.sources.records import LINE, SUBJECT, Field, Record, from_ms, kept, read_records, within

NAME: Final = wire.NAME

FILE_HOST: Final = "static.okx.com"
HONG_KONG: Final = timedelta(hours=8)
"""Months start at midnight in Hong Kong: January ends at 16:00 UTC on the 31st, and its last UTC hours are in February's file."""

DAYS_LISTED: Final = 20
"""Most days in one list of daily files (?)."""

FUNDING_MODULE: Final = "3"

FUNDING: Final = (
    Field("instrument_name", "instrument", str),
    Field("funding_rate", "rate", float),
    Field("funding_time", "at_ms", int),
)


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """The list of a swap's files, every file that overlaps the span, and the files of the days that they lack.

    Raises NotYetPublishedError while days are lacking and a month has no file: it is published a few days after the month ends.
    """
    months = months_of(job.span, until=job.instrument.get("delisted_at"))
    # 00:00 UTC on the first of a month is the first in Hong Kong too. Both bounds are inclusive.
    listed = await _list(api, job, "monthly", months[0], months[-1])
    yield listed
    links, files = file_links(listed), list[Page]()
    for month in months:
        file = await _file(api, job, links, f"{month:%Y-%m}")
        if file is not None:
            files.append(file)
            yield file
    has_all_months = len(files) == len(months)
    for window in _windows(lacking_days(files, job)):
        days = sorted({day + timedelta(days=more) for day in window for more in (0, 1)})
        listed = await _list(api, job, "daily", days[0], days[-1])
        yield listed
        links = file_links(listed)
        for day in days:
            file = await _file(api, job, links, f"{day:%Y-%m-%d}")
            if file is not None:
                files.append(file)
                yield file
    if not has_all_months and lacking_days(files, job):
        raise NotYetPublishedError


async def _list(api: Api, job: Job, kind: Literal["daily", "monthly"], first: datetime, last: datetime) -> Page:
    return await wire.get(
        api, wire.FILES, job.subject,
        module=FUNDING_MODULE, instType="SWAP", instFamilyList=job.subject.removesuffix("-SWAP"), dateAggrType=kind,
        begin=milliseconds(first), end=milliseconds(last),
    )  # fmt: skip


async def _file(api: Api, job: Job, links: Mapping[str, str], when: str) -> Page | None:
    """The file of a month or day, None if there is none."""
    name = f"{job.subject}-fundingrates-{when}.zip"
    if name not in links:
        return None
    url = urlsplit(links[name])
    file = await api.get(
        url.path, subject=job.subject, endpoint="files", params=dict(parse_qsl(url.query)),
        costs={wire.FILE_BUDGET: 1.0}, accept=(200, 404), is_json=False,
    )  # fmt: skip
    return None if file.status == 404 else file


def lacking_days(pages: Iterable[Page], job: Job, *, whole: bool = True) -> list[datetime]:
    """The UTC days of the span, within the swap's listing, of which the files have no settlement; with `whole`, also days that
    lie in a month or day in Hong Kong without a file."""
    settled: set[date] = set()
    filed: set[str] = set()
    for page in _files(pages):
        filed.add(page.request["path"].removesuffix(".zip").rpartition("-fundingrates-")[2])
        stamps = (str(row.get("funding_time")) for row in csv_rows(page) if isinstance(row, Mapping))
        settled |= {(datetime(1970, 1, 1) + timedelta(milliseconds=int(at))).date() for at in stamps if at.isdigit()}
    listed, delisted = job.instrument.get("listed_at"), job.instrument.get("delisted_at")
    # A swap's first and last day may have no settlement.
    first = listed.date() if listed else date.min
    last = delisted.date() if delisted else date.max
    days = [day for day in job.span.days if first < day < last]
    return [
        datetime(day.year, day.month, day.day)
        for day in days
        if day not in settled or (whole and any(filed.isdisjoint(names) for names in _names_of(day)))
    ]


def _names_of(day: date) -> list[set[str]]:
    """By day in Hong Kong of a UTC day, which has 16 hours of the same and 8 of the next: the dates in the names of its files."""
    return [{f"{part:%Y-%m}", f"{part:%Y-%m-%d}"} for part in (day, day + timedelta(days=1))]


def lacks(pages: Sequence[Page], job: Job) -> bool:
    """Whether the files lack days between two others."""
    lacking = {day.date() for day in lacking_days(pages, job, whole=False)}
    found = [day for day in job.span.days if day not in lacking]
    return bool(found) and any(found[0] < day < found[-1] for day in lacking)


def _windows(days: Sequence[datetime]) -> Iterator[list[datetime]]:
    """The days in groups that one request for a list of daily files covers."""
    group: list[datetime] = []
    for day in days:
        if group and (day - group[0]).days + 2 > DAYS_LISTED:
            yield group
            group = []
        group.append(day)
    if group:
        yield group


def _files(pages: Iterable[Page]) -> list[Page]:
    return [page for page in pages if page.request["endpoint"] == "files"]


def months_of(span: Span, *, until: datetime | None) -> list[datetime]:
    """First days of the Hong Kong months that overlap the span, up to the instrument's delisting (`until`)."""
    last = min(span.end, until or span.end) - timedelta(microseconds=1) + HONG_KONG
    month = (span.start + HONG_KONG).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    months = [month]
    while (month := (month + timedelta(days=32)).replace(day=1)) <= last:
        months.append(month)
    return months


def file_links(page: Page) -> dict[str, str]:
    """URLs of the listed files by name, from data[].details[].groupDetails[]. A file on another host is an error."""
    try:
        files = [
            (str(file["filename"]), str(file["url"]))
            for listed in wire.records(page)
            for group in listed["details"]  # type: ignore[call-overload]
            for file in group["groupDetails"]
        ]
    except (KeyError, TypeError) as error:
        raise SourceFormatError(
            f"{page.where}: the list of files is not as documented ({error}): {page.excerpt}"
        ) from error
    for name, url in files:
        if urlsplit(url).scheme != "https" or urlsplit(url).hostname != FILE_HOST:
            raise SourceFormatError(f"{page.where}: {name} is at {url!r}, not on {FILE_HOST}; it was not fetched.")
    return dict(files)


def csv_rows(page: Page) -> Sequence[Record]:
    """The rows of the CSV in a landed ZIP, with column names reduced to lower-case letters and underscores.

    Some files of the series have translated headers and a column real_funding_rate, which then is the rate paid.
    """
    try:
        with zipfile.ZipFile(BytesIO(page.body)) as archive:
            [member] = [info for info in archive.infolist() if info.filename.endswith(".csv")]
            if member.file_size > current().answer_unpacked_bytes:
                what = f"{member.filename} unpacks to {member.file_size:,} bytes"
                raise exceeded(page.where, "answer_unpacked_bytes", what)
            text = archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: expected a ZIP with one CSV ({error}): {page.excerpt}") from error
    frame = pl.read_csv(text, infer_schema=False, encoding="utf8-lossy")
    if frame.height * frame.width > current().answer_values:
        raise exceeded(page.where, "answer_values", f"{frame.height:,} rows of {frame.width} columns")
    frame = frame.rename({name: re.sub(r"[^a-z_]", "", name.lower()) for name in frame.columns})
    if "real_funding_rate" in frame.columns:
        frame = frame.with_columns(pl.col("real_funding_rate").alias("funding_rate"))
    rows: list[dict[str, Any]] = frame.to_dicts()
    if not rows and not {field.key for field in FUNDING} <= set(frame.columns):
        raise SourceFormatError(f"{page.where}: the CSV has the columns {frame.columns}; the venue's format changed.")
    return rows


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates of the span; other rows in its files belong to neighboring landings. Timestamps are up to seconds late.

    `available_at` is the settlement time, since the rate was public long before its file. The file has one rate and does not say
    whether it is the API's fundingRate or realizedRate, which differ from the tenth digit on (?).
    """
    found = read_records(_files(pages), csv_rows, FUNDING)
    settled = pl.col("settled_at")
    of_swap = kept(found.frame, pl.col("instrument") == pl.col(SUBJECT), "not_followed").with_columns(
        from_ms("at_ms").dt.round("1m").alias("settled_at")
    )
    rows = within(of_swap, "settled_at", context, answers="history").select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit("settled").alias("kind"),
        settled.alias("settled_at"),
        "rate",
        settled.alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)
