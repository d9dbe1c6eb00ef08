"""Binance's archive files: paths, download with checksum verification, and batched CSV parsing.

The meaning of the columns is in history.py; nothing here depends on a clean table.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal

import polars as pl

from pipelines.contract.batch import no_rejects
from pipelines.core.errors import ChecksumError, MalformedAnswerError, SourceFormatError
from pipelines.core.limits import current, exceeded
from pipelines.extract import fetch_log
from pipelines.extract.venue import Api, Fetch, Job, NotYetPublishedError, Page
from pipelines.sources.account import count_page
from pipelines.sources.records import LINE, SUBJECT, Field, Records

ARCHIVE: Final = "archive"
LISTING: Final = "listing"
CHECKSUM: Final = ".CHECKSUM"
NAME: Final = "binance_archive"

NEVER_AFTER: Final = timedelta(days=30)
"""A file still missing this long after its span is assumed never to be published."""

QUIET_DAYS: Final = 10
"""An instrument without any file since this many days before a span was delisted and has no file for the span either."""

ATTEMPTS: Final = 3
"""Attempts when a file and its checksum disagree: just after a file is replaced, the old checksum may still be served."""

BATCH_BYTES: Final = 12 << 20
"""Text parsed at once: about 120,000 metrics records, which become 600,000 rows."""

SAMPLE_BYTES: Final = 4 << 10
"""Text of a file that is parsed when it is fetched: its header and some thirty lines."""

ROWS_A_DAY: Final = 24
"""Rows of a whole day in a file of hourly candles."""

# The first column of a candle file; spot files have microseconds since 2025-01-01. As milliseconds, the bound is in the year 5138.
MICROSECONDS_FROM: Final = 100_000_000_000_000
_STAMP: Final = re.compile(rb"^(\d+),", re.MULTILINE)
_KEY: Final = re.compile(rb"<Key>([^<>]+\.zip)</Key>")

_DAY: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})\.zip$")
_TYPES: Final[Mapping[type, pl.DataType]] = {float: pl.Float64(), int: pl.Int64(), str: pl.String()}
_REST: Final = "_rest"

FILE: Final = "file"
"""Column with the index, within the batch, of a record's file."""

FILE_DAY: Final = "file_day"
"""Column with the UTC day in the name of a record's file; null for monthly files."""


@dataclass(frozen=True)
class Archive:
    """Files of one kind: /data/<market>/<daily or monthly>/<kind>/<symbol>/[<interval>/]<symbol>-<label>-<date>.zip.

    `published` says whether daily, monthly or both kinds exist. With both, a full month is read from its monthly file; days that
    this file lacks, or lacks a part of, are read from their daily files.
    """

    market: Literal["futures/um", "futures/cm", "spot", "option"]
    kind: str
    published: Literal["daily", "monthly", "both"] = "daily"
    interval: str = ""

    def folder(self, cadence: Literal["daily", "monthly"]) -> str:
        """The folder with one subfolder per symbol."""
        return f"data/{self.market}/{cadence}/{self.kind}/"

    def paths(self, job: Job) -> list[str]:
        """Paths of the files that cover the job's span."""
        # The spot pair BTC/USDT is BTCUSDT in the archive.
        symbol = job.subject.replace("/", "")
        days = job.span.days
        if self.published == "monthly" or (self.published == "both" and len(days) > 1):
            return [self._path("monthly", symbol, f"{job.span.start:%Y-%m}")]
        return [self._path("daily", symbol, f"{day:%Y-%m-%d}") for day in days]

    async def daily_paths(self, api: Api, job: Job, days: Collection[date]) -> list[str]:
        """Paths of the daily files of `days`, all in the month of the job's span, that the bucket lists."""
        folder, _, name = self._path("daily", job.subject.replace("/", ""), f"{job.span.start:%Y-%m}").rpartition("/")
        params: dict[str, str | int] = {"prefix": f"{folder}/{name.removesuffix('.zip')}".removeprefix("/")}
        page = await api.get("/", endpoint=LISTING, subject=job.subject, params=params, is_json=False)
        listed = {f"/{key.decode('utf-8', 'replace')}" for key in _KEY.findall(page.body)}
        symbol = job.subject.replace("/", "")
        wanted = (self._path("daily", symbol, f"{day:%Y-%m-%d}") for day in sorted(days))
        return [path for path in wanted if path in listed]

    async def is_published(self, api: Api, job: Job) -> bool:
        """Whether the bucket has files of the job's subject from QUIET_DAYS before its span or later."""
        path = self.paths(job)[0]
        folder, _, name = path.removeprefix("/").rpartition("/")
        before = f"{job.span.start - timedelta(days=QUIET_DAYS):%Y-%m-%d}"
        marker = re.sub(r"\d{4}-\d{2}(-\d{2})?\.zip$", before, name)
        params: dict[str, str | int] = {"prefix": f"{folder}/", "marker": f"{folder}/{marker}", "max-keys": 1}
        page = await api.get("/", endpoint=LISTING, subject=job.subject, params=params, is_json=False)
        return b"<Key>" in page.body

    def _path(self, cadence: Literal["daily", "monthly"], symbol: str, when: str) -> str:
        inner = f"{symbol}/{self.interval}" if self.interval else symbol
        return f"/{self.folder(cadence)}{inner}/{symbol}-{self.interval or self.kind}-{when}.zip"

    @property
    def fetch(self) -> Fetch:
        """Fetch a job's files and verify their checksums. Raises NotYetPublishedError if there is no file but one may still be
        published: a 404 means either "not yet" or "never"."""

        async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
            held = {str(page.request["path"]): page for page in job.held()}
            missing: Page | None = None
            found = False
            rows: Counter[date] = Counter()
            for path in self.paths(job):
                page = await _verified(api, job.subject, path, held.get(path))
                if page.status == 404:
                    missing = page
                else:
                    found = True
                    if self._has_days(job):
                        rows += rows_by_day(page)
                    yield page
            short = {day for day in job.span.days if rows[day] < ROWS_A_DAY} if self._has_days(job) else set()
            for path in await self.daily_paths(api, job, short) if short else ():
                page = await _verified(api, job.subject, path, held.get(path))
                day = file_day(page)
                if page.status != 404 and day is not None and rows_by_day(page)[day] > rows[day]:
                    found = True
                    yield page
            may_come = missing is not None and missing.received_at < job.span.end + NEVER_AFTER
            if may_come and not found and await self.is_published(api, job):
                raise NotYetPublishedError(job.subject)

        return fetch

    def _has_days(self, job: Job) -> bool:
        """Whether the job's month is read from a monthly file and has daily files too."""
        return self.published == "both" and len(job.span.days) > 1

    def lacks(self, pages: Sequence[Page], job: Job) -> bool:
        """Whether the files of a job's month lack days that may still come: any day for NEVER_AFTER, and with daily files beside
        the monthly one a day between two others at any time."""
        if self.published == "monthly" or not pages or len(job.span.days) == 1:
            return False
        is_recent = max(page.received_at for page in pages) < job.span.end + NEVER_AFTER
        if self.published == "daily" and not is_recent:
            return False
        found = {day for page in pages for day in (rows_by_day(page) if self._has_days(job) else (file_day(page),))}
        days = [day for day in job.span.days if day in found]
        return bool(days) and len(days) < (len(job.span.days) if is_recent else (days[-1] - days[0]).days + 1)


def rows_by_day(page: Page) -> Counter[date]:
    """Rows of a candle file by UTC day."""
    stamps = (int(stamp) for stamp in _STAMP.findall(_inflate(page)))
    seconds = (stamp // (1_000_000 if stamp >= MICROSECONDS_FROM else 1000) for stamp in stamps)
    return Counter((datetime(1970, 1, 1) + timedelta(seconds=second)).date() for second in seconds)


async def _verified(api: Api, subject: str, path: str, held: Page | None) -> Page:
    """The file at `path`, verified against its checksum file, or the 404. Returns the held page if its checksum is unchanged."""
    is_held_stale = False
    if held is not None and (digest := await _digest(api, subject, path)) is not None:
        if digest == _sha256(held.body):
            return held
        is_held_stale = True
    for _ in range(ATTEMPTS):
        page = await api.get(path, endpoint=ARCHIVE, subject=subject, accept=(200, 404), is_json=False)
        if page.status == 404:
            return page
        digest = await _digest(api, subject, path)
        if digest is None:
            raise ChecksumError(
                f"{NAME}: {page.where}: the file has no {CHECKSUM} file. Retry later; a mirror needs both files."
            )
        if digest == _sha256(page.body):
            if held is not None and is_held_stale and page.body == held.body:
                # The file is unchanged, so the first digest was wrong.
                fetch_log.record("checksum", f"{page.where}: {CHECKSUM} was not that of the file", effect="asked_again")
            return page
        fetch_log.record("checksum", f"{page.where}: the file is not what its {CHECKSUM} says", effect="asked_again")
    raise ChecksumError(
        f"{NAME}: {page.where}: the file has sha256 {_sha256(page.body)}, but its {CHECKSUM} file has {digest}. Retry later; "
        "in a mirror, copy both files again."
    )


async def _digest(api: Api, subject: str, path: str) -> str | None:
    """The sha256 in a .CHECKSUM file ("<64 hex digits>  <file name>"), None if there is no such file."""
    page = await api.get(path + CHECKSUM, endpoint=ARCHIVE, subject=subject, accept=(200, 404), is_json=False)
    return None if page.status == 404 else page.body[:64].decode("ascii", "replace").lower()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def check(page: Page) -> None:
    """Raise MalformedAnswerError for a truncated response or an HTML page, SourceFormatError for an oversized file."""
    path = str(page.request["path"])
    if path.endswith(".zip"):
        try:
            with zipfile.ZipFile(io.BytesIO(page.body)) as archive:
                _only_member(page, archive)
        except zipfile.BadZipFile as error:
            raise MalformedAnswerError(
                f"{NAME}: {page.where}: expected a zip file ({error}): {page.excerpt}", answer=page
            ) from error
    elif path.endswith(CHECKSUM):
        if not re.match(rb"[0-9a-fA-F]{64}\b", page.body):
            raise MalformedAnswerError(f"{NAME}: {page.where}: expected a sha256: {page.excerpt}", answer=page)
    elif b"<ListBucketResult" not in page.body[:200]:
        raise MalformedAnswerError(f"{NAME}: {page.where}: expected a bucket listing: {page.excerpt}", answer=page)


def first_lines(page: Page) -> Page:
    """The page with the beginning of its file only: the header and the first lines, as a zip. Its checksum vouches for the rest."""
    if not page.body.startswith(b"PK"):
        return page
    name, text = _unpacked(page, SAMPLE_BYTES)
    if len(text) == SAMPLE_BYTES:
        text = text[: text.rfind(b"\n") + 1]
    sample = io.BytesIO()
    with zipfile.ZipFile(sample, "w") as archive:
        archive.writestr(name, text)
    return replace(page, body=sample.getvalue())


def read_archives(pages: Iterable[Page], fields: Sequence[Field]) -> Iterator[Records]:
    """The records of all files, in batches of files that are concatenated and parsed once.

    `fields` lists all columns in the order of headerless files. In files with a header, columns are matched by name; optional
    ones may be absent, and new ones stay in the landing. Frames have the fields' columns, `subject`, `file` (index in the
    batch), `file_day` and `_line`. Raises SourceFormatError naming file and column.
    """
    lines = 0
    for batch in _batches(pages, fields):
        counted = [count_page(page, length) for page, length in zip(batch.files, batch.lengths, strict=True)]
        if counted[0] is not None:
            lines = counted[0]
        yield batch.records(fields, first_line=lines + 1)
        lines += sum(batch.lengths)


@dataclass
class _Batch:
    """Texts of files with the same columns, each ending with a newline."""

    columns: tuple[str, ...]
    texts: list[bytes] = field(default_factory=list)
    files: list[Page] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    size: int = 0

    def add(self, page: Page, text: bytes) -> None:
        self.texts.append(text)
        self.files.append(page)
        self.lengths.append(text.count(b"\n"))
        self.size += len(text)

    def records(self, fields: Sequence[Field], *, first_line: int) -> Records:
        text = b"".join(self.texts)
        self.texts.clear()
        known = {field.key: field for field in fields}
        types = {c: _TYPES[known[c].kind] if c in known else pl.String() for c in self.columns}
        whole: pl.DataFrame | None
        try:
            whole = self._parse(text, types)
        except (pl.exceptions.ComputeError, pl.exceptions.SchemaError):
            whole = None
        if whole is not None and not any(
            whole.get_column(c).null_count() for c in self.columns if c in known and not known[c].optional
        ):
            return Records(self._named(whole, fields, first_line), no_rejects())
        # Some cell is unreadable: parse every cell as text and reject the records at fault.
        raw = self._parse(text, dict.fromkeys((*self.columns, _REST), pl.String()))
        return self._split(raw, fields, first_line)

    def _parse(self, text: bytes, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
        # When parsing as text, records may be too short or too long; _split detects those.
        missing: Literal["insert", "raise"] = "insert" if _REST in types else "raise"
        frame = pl.read_csv(
            text, has_header=False, schema=types, missing_columns=missing, truncate_ragged_lines=_REST in types
        )
        if frame.height != sum(self.lengths):
            raise SourceFormatError(
                f"{self.files[0].where} and {len(self.files) - 1} more files: {frame.height} records in "
                f"{sum(self.lengths)} lines; the venue's format changed."
            )
        return frame

    def _named(self, frame: pl.DataFrame, fields: Sequence[Field], first_line: int) -> pl.DataFrame:
        """The fields' columns under their names, with each record's subject, file, day and line."""
        numbers = pl.Series(FILE, range(len(self.files)), dtype=pl.UInt32)
        file = pl.select(pl.lit(numbers).repeat_by(pl.Series(self.lengths)).explode(empty_as_null=False))[FILE]
        subjects = pl.Series(SUBJECT, [page.subject for page in self.files], dtype=pl.String)
        days = pl.Series(FILE_DAY, [file_day(page) for page in self.files], dtype=pl.Date)
        return frame.select(
            *(
                (pl.col(str(f.key)) if f.key in frame.columns else pl.lit(None, _TYPES[f.kind])).alias(f.name)
                for f in fields
            ),
            subjects.gather(file),
            file,
            days.gather(file),
            pl.int_range(first_line, first_line + pl.len(), dtype=pl.Int64).alias(LINE),
        )

    def _split(self, raw: pl.DataFrame, fields: Sequence[Field], first_line: int) -> Records:
        """Readable records, and the others as rejects with their raw text."""
        faults = [pl.when(_is_unreadable(f)).then(pl.lit(str(f.key))) for f in fields if f.key in self.columns]
        too_long = pl.when(pl.col(_REST).is_not_null()).then(pl.lit("a column too many"))
        faulty = raw.select(
            pl.coalesce(*faults, too_long).alias("field"), pl.struct(pl.all()).struct.json_encode().alias("raw")
        )
        field = faulty["field"]
        if field.null_count() == 0 and field.n_unique() == 1 and field.len() > 1:
            raise SourceFormatError(
                f"{self.files[0].where}: {field[0]!r} is unreadable in all {field.len()} records (first record: "
                f"{faulty['raw'][0]}); the venue's format changed."
            )
        typed = raw.with_columns(
            pl.col(str(f.key)).cast(_TYPES[f.kind], strict=False) for f in fields if f.key in self.columns
        )
        frame = self._named(typed, fields, first_line).with_columns(field.alias("wrong"), faulty["raw"])
        rejects = frame.filter(pl.col("wrong").is_not_null()).select(
            pl.col(FILE_DAY).alias("trade_date"),
            pl.col(LINE).alias("line"),
            pl.col("wrong").alias("field"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit("unparsable").alias("reason"),
            pl.format("{} cannot be read", "wrong").alias("detail"),
            "raw",
        )
        return Records(frame.filter(pl.col("wrong").is_null()).drop("wrong", "raw"), rejects)


def _is_unreadable(f: Field) -> pl.Expr:
    """Whether a text cell is not of the field's type, or is empty although the field is required."""
    text = pl.col(str(f.key))
    is_empty = text.is_null() | (text == "")
    is_invalid = text.cast(_TYPES[f.kind], strict=False).is_null() | is_empty
    return is_invalid & ~is_empty if f.optional else is_invalid


def _batches(pages: Iterable[Page], fields: Sequence[Field]) -> Iterator[_Batch]:
    """Files in input order, split where the columns change or a batch is full."""
    batch: _Batch | None = None
    for page in pages:
        columns, text = _columns(page, _inflate(page), fields)
        if not text:
            continue
        if batch is not None and (batch.columns != columns or batch.size + len(text) > BATCH_BYTES):
            yield batch
            batch = None
        batch = batch or _Batch(columns)
        batch.add(page, text)
    if batch is not None:
        yield batch


def _columns(page: Page, text: bytes, fields: Sequence[Field]) -> tuple[tuple[str, ...], bytes]:
    """Column names of a file and its text without the header. Old files and spot files have no header: they start with a
    digit."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    if text and not text.endswith(b"\n"):
        text += b"\n"
    if not text or text[:1].isdigit():
        return tuple(str(f.key) for f in fields), text
    header, _, rest = text.partition(b"\n")
    names = tuple(name.strip().strip('"') for name in header.decode("utf-8", "replace").split(","))
    missing = [f.key for f in fields if not f.optional and f.key not in names]
    if missing:
        raise SourceFormatError(
            f"{page.where}: missing column {', '.join(map(repr, missing))} (found {', '.join(names)}); the venue's format changed."
        )
    return names, rest


def _inflate(page: Page) -> bytes:
    """The text in a zip file, with its CRC verified. Raises SourceFormatError unless it is a zip with exactly one file."""
    return _unpacked(page)[1]


def _unpacked(page: Page, most: int = -1) -> tuple[str, bytes]:
    """Name and text of the only file in a zip, or at most `most` bytes of it. A text that is read whole has its CRC verified."""
    try:
        with zipfile.ZipFile(io.BytesIO(page.body)) as archive:
            member = _only_member(page, archive)
            with archive.open(member) as file:
                return member.filename, file.read(most)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceFormatError(f"{page.where}: unreadable zip file ({error}); fetch it again.") from error


def _only_member(page: Page, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise SourceFormatError(
            f"{page.where}: expected one file in the zip, found {len(members)}; the venue's format changed."
        )
    # zipfile never inflates more than the size a member declares. A month of one-second rows is under 100 MB.
    if members[0].file_size > current().answer_unpacked_bytes:
        raise exceeded(
            page.where,
            "answer_unpacked_bytes",
            f"the zip of {len(page.body):,} bytes unpacks to {members[0].file_size:,}",
        )
    return members[0]


def file_day(page: Page) -> date | None:
    """The UTC day in the name of a daily file; None for a monthly file."""
    found = _DAY.search(str(page.request.get("path", "")))
    return date(*map(int, found.groups())) if found else None
