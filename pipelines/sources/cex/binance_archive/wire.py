"""Binance's archive files: where they lie, fetched against their checksums, and many of them read as one table.

What the columns mean stands in the binance_archive modules. Nothing here knows a clean table.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, Literal

import polars as pl

from pipelines.contract.batch import no_rejects
from pipelines.core.errors import SourceFormatError, VenueUnavailableError
from pipelines.extract import fetch_log
from pipelines.extract.venue import Api, Fetch, Job, NotYetPublishedError, Page
from pipelines.sources.records import LINE, SUBJECT, Field, Records

ARCHIVE: Final = "archive"
LISTING: Final = "listing"
CHECKSUM: Final = ".CHECKSUM"
NAME: Final = "binance_archive"

NEVER_AFTER: Final = timedelta(days=30)
"""A file that is not there this long after its days is taken for one that never will be."""

QUIET_DAYS: Final = 10
"""An instrument without any file from so long before a day on was delisted, and has none for that day either."""

ATTEMPTS: Final = 3
"""How often a file and its checksum are fetched when they disagree: for a moment, a replaced file has the old one's."""

LARGEST_INFLATED: Final = 256 << 20
"""A month of one-second rows is under 100 MB; a file that claims more than this is no archive of Binance's."""

BATCH_BYTES: Final = 12 << 20
"""Text that is parsed at once: about 120,000 records of metrics, which become 600,000 rows."""

_DAY: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2})\.zip$")
_TYPES: Final[Mapping[type, pl.DataType]] = {float: pl.Float64(), int: pl.Int64(), str: pl.String()}
_REST: Final = "_rest"

FILE: Final = "file"
"""Column with the number of the file, in the batch, that a record is from."""

FILE_DAY: Final = "file_day"
"""Column with the UTC day in the name of the record's file; null in files of a month."""


@dataclass(frozen=True)
class Archive:
    """Files of one kind: /data/<market>/<daily or monthly>/<kind>/<symbol>/[<interval>/]<symbol>-<label>-<date>.zip.

    `published` says which of the two there are. Where both are, a whole month is one file.
    """

    market: Literal["futures/um", "futures/cm", "spot", "option"]
    kind: str
    published: Literal["daily", "monthly", "both"] = "daily"
    interval: str = ""

    def folder(self, cadence: Literal["daily", "monthly"]) -> str:
        """The folder that holds one folder per symbol."""
        return f"data/{self.market}/{cadence}/{self.kind}/"

    def paths(self, job: Job) -> list[str]:
        """The files that hold the job's span."""
        # A spot pair is BTC/USDT in the warehouse and BTCUSDT in the archive.
        symbol = job.subject.replace("/", "")
        days = job.span.days
        if self.published == "monthly" or (self.published == "both" and len(days) > 1):
            return [self._path("monthly", symbol, f"{job.span.start:%Y-%m}")]
        return [self._path("daily", symbol, f"{day:%Y-%m-%d}") for day in days]

    async def is_published(self, api: Api, job: Job) -> bool:
        """Whether the bucket has files of the job's subject from about the days before its span."""
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
        """Fetch the files of a job, verified. Raises NotYetPublishedError where none is there and one may still come: a 404
        means "not yet" and "never" alike."""

        async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
            held = {str(page.request["path"]): page for page in job.held()}
            missing: Page | None = None
            found = False
            for path in self.paths(job):
                page = await _verified(api, job.subject, path, held.get(path))
                if page.status == 404:
                    missing = page
                else:
                    found = True
                    yield page
            may_come = missing is not None and missing.received_at < job.span.end + NEVER_AFTER
            if may_come and not found and await self.is_published(api, job):
                raise NotYetPublishedError(job.subject)

        return fetch


async def _verified(api: Api, subject: str, path: str, held: Page | None) -> Page:
    """The file at `path` with the digest that stands beside it; or a 404. The held file where the digest is still its own."""
    was_doubted = False
    if held is not None and (said := await _digest(api, subject, path)) is not None:
        if said == _sha256(held.body):
            return held
        was_doubted = True
    for _ in range(ATTEMPTS):
        page = await api.get(path, endpoint=ARCHIVE, subject=subject, accept=(200, 404), is_json=False)
        if page.status == 404:
            return page
        said = await _digest(api, subject, path)
        if said is None:
            raise VenueUnavailableError(
                f"{NAME}: {page.where}: no {CHECKSUM} beside the file. Ask again later; a mirror needs both."
            )
        if said == _sha256(page.body):
            if held is not None and was_doubted and page.body == held.body:
                # The file is the held one after all: what was wrong is the digest that was told first.
                fetch_log.record("checksum", f"{page.where}: {CHECKSUM} was not that of the file", effect="asked_again")
            return page
        fetch_log.record("checksum", f"{page.where}: the file is not what its {CHECKSUM} says", effect="asked_again")
    raise VenueUnavailableError(
        f"{NAME}: {page.where}: the file has sha256 {_sha256(page.body)}, its {CHECKSUM} says {said}. Ask again later; in a "
        "mirror, copy both anew."
    )


async def _digest(api: Api, subject: str, path: str) -> str | None:
    """The sha256 that a .CHECKSUM file states ("<64 hex digits>  <file name>"), None where there is no such file."""
    page = await api.get(path + CHECKSUM, endpoint=ARCHIVE, subject=subject, accept=(200, 404), is_json=False)
    return None if page.status == 404 else page.body[:64].decode("ascii", "replace").lower()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def check(page: Page) -> None:
    """An answer that is cut off, or a page for people, is no file: ask again. A file of absurd size is refused for good."""
    path = str(page.request["path"])
    if path.endswith(".zip"):
        try:
            with zipfile.ZipFile(io.BytesIO(page.body)) as archive:
                _only_member(page, archive)
        except zipfile.BadZipFile as error:
            raise VenueUnavailableError(f"{NAME}: {page.where}: no whole zip file ({error}): {page.excerpt}") from error
    elif path.endswith(CHECKSUM):
        if not re.match(rb"[0-9a-fA-F]{64}\b", page.body):
            raise VenueUnavailableError(f"{NAME}: {page.where}: no sha256: {page.excerpt}")
    elif b"<ListBucketResult" not in page.body[:200]:
        raise VenueUnavailableError(f"{NAME}: {page.where}: no listing of a bucket: {page.excerpt}")


def read_archives(pages: Iterable[Page], fields: Sequence[Field]) -> Iterator[Records]:
    """The records of all files, a batch of files at a time: inflated into one text and parsed once.

    `fields` name all columns in the order of files without a header; in files with one, columns are found by name, optional
    ones may be absent and new ones stay in the landing. Frames have the fields' columns, `subject`, `file` (number in the
    batch), `file_day` and `_line`. Raises SourceFormatError naming file and column.
    """
    lines = 0
    for batch in _batches(pages, fields):
        yield batch.records(fields, first_line=lines + 1)
        lines += sum(batch.lengths)


@dataclass
class _Batch:
    """Texts of files that have the same columns, each ending with a line break."""

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
        # Some cell cannot be read: read all as text, and turn away the records that hold one.
        raw = self._parse(text, dict.fromkeys((*self.columns, _REST), pl.String()))
        return self._split(raw, fields, first_line)

    def _parse(self, text: bytes, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
        # As text, a record may be shorter or longer than it should be: that is what is to be found out.
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
        """The fields' columns under their names, and where each record is from."""
        numbers = pl.Series(FILE, range(len(self.files)), dtype=pl.UInt32)
        file = pl.select(pl.lit(numbers).repeat_by(pl.Series(self.lengths)).explode(empty_as_null=False))[FILE]
        subjects = pl.Series(SUBJECT, [page.subject for page in self.files], dtype=pl.String)
        days = pl.Series(FILE_DAY, [_day(page) for page in self.files], dtype=pl.Date)
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
        """Records in which every cell can be read, and the others as rejects with the text they came with."""
        faults = [pl.when(_is_unreadable(f)).then(pl.lit(str(f.key))) for f in fields if f.key in self.columns]
        too_long = pl.when(pl.col(_REST).is_not_null()).then(pl.lit("a column too many"))
        told = raw.select(
            pl.coalesce(*faults, too_long).alias("field"), pl.struct(pl.all()).struct.json_encode().alias("raw")
        )
        wrong = told["field"]
        if wrong.null_count() == 0 and wrong.n_unique() == 1 and wrong.len() > 1:
            raise SourceFormatError(
                f"{self.files[0].where}: {wrong[0]!r} cannot be read in any of {wrong.len()} records, the first being "
                f"{told['raw'][0]}; the venue's format changed."
            )
        typed = raw.with_columns(
            pl.col(str(f.key)).cast(_TYPES[f.kind], strict=False) for f in fields if f.key in self.columns
        )
        frame = self._named(typed, fields, first_line).with_columns(told["field"].alias("wrong"), told["raw"])
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
    """Whether a cell, given as text, holds something else than the field's type, or nothing where something must be."""
    text = pl.col(str(f.key))
    is_empty = text.is_null() | (text == "")
    unread = text.cast(_TYPES[f.kind], strict=False).is_null() | is_empty
    return unread & ~is_empty if f.optional else unread


def _batches(pages: Iterable[Page], fields: Sequence[Field]) -> Iterator[_Batch]:
    """Files in the order they came, cut where the columns change or there is enough text."""
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
    """Column names of a file and its text without the header. Old files and spot have none: records begin with a digit."""
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
            f"{page.where}: no column {', '.join(map(repr, missing))} among {', '.join(names)}; the venue's format changed."
        )
    return names, rest


def _inflate(page: Page) -> bytes:
    """The text in a zip file. Its CRC is verified. Raises SourceFormatError for what is no archive of one file."""
    try:
        with zipfile.ZipFile(io.BytesIO(page.body)) as archive:
            return archive.read(_only_member(page, archive))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceFormatError(f"{page.where}: the zip file cannot be read ({error}); fetch it again.") from error


def _only_member(page: Page, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1:
        raise SourceFormatError(
            f"{page.where}: {len(members)} files in the zip where one was; the venue's format changed."
        )
    # zipfile never inflates more than a member states, so what it states is the bound.
    if members[0].file_size > LARGEST_INFLATED:
        raise SourceFormatError(
            f"{page.where}: the zip of {len(page.body)} bytes would inflate to {members[0].file_size >> 20} MiB, more than "
            f"{LARGEST_INFLATED >> 20} MiB; it is not read."
        )
    return members[0]


def _day(page: Page) -> date | None:
    found = _DAY.search(str(page.request.get("path", "")))
    return date(*map(int, found.groups())) if found else None
