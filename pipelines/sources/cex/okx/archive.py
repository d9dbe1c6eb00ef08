"""OKX's files of settled funding: one ZIP per swap and month since 2022-03, listed by public/market-data-history (2025-09).

Only funding is read from files; the API has candles since listing (history.py).
Facts from OKX's documentation and from public records of the files; anything not verified live is marked "?".
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Final
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

FUNDING_MODULE: Final = "3"

FUNDING: Final = (
    Field("instrument_name", "instrument", str),
    Field("funding_rate", "rate", float),
    Field("funding_time", "at_ms", int),
)


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """The list of a swap's files, and every file that overlaps the span.

    Raises NotYetPublishedError while one of them is missing: a month's file is published a few days after the month ends.
    """
    months = months_of(job.span, until=job.instrument.get("delisted_at"))
    listed = await wire.get(
        api, wire.FILES, job.subject,
        module=FUNDING_MODULE, instType="SWAP", instFamilyList=job.subject.removesuffix("-SWAP"), dateAggrType="monthly",
        # 00:00 UTC on the first of a month is the first in Hong Kong too. Both bounds are inclusive.
        begin=milliseconds(months[0]), end=milliseconds(months[-1]),
    )  # fmt: skip
    yield listed
    links = file_links(listed)
    for month in months:
        name = f"{job.subject}-fundingrates-{month:%Y-%m}.zip"
        if name not in links:
            raise NotYetPublishedError
        url = urlsplit(links[name])
        file = await api.get(
            url.path, subject=job.subject, endpoint="files", params=dict(parse_qsl(url.query)),
            costs={wire.FILE_BUDGET: 1.0}, accept=(200, 404), is_json=False,
        )  # fmt: skip
        if file.status == 404:
            raise NotYetPublishedError
        yield file


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
    files = [page for page in pages if page.request["endpoint"] == "files"]
    found = read_records(files, csv_rows, FUNDING)
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
