"""Reading what a venue answered, by its feed's parser: once when it is fetched, to know that it can be read, and at the load.

Every record is accounted for, and an answer of which no record can belong to its span is unreadable, not empty. No HTTP here
and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipelines.contract.batch import no_rejects
from pipelines.contract.ddl import Contract, Table
from pipelines.core.errors import SourceFormatError
from pipelines.core.files import is_fault_of_bytes
from pipelines.extract.liveness import LISTS, STATES
from pipelines.extract.venue import Context, Daily, Feed, Page, Parsed, Pulse, Span, Venue
from pipelines.sources.account import LINE, Account
from pipelines.sources.instruments import TURNOVER
from pipelines.sources.records import FIRST_TIME, NEAR, PART_BYTES

LONGEST_AHEAD: Final = timedelta(days=731)
"""Nothing that a venue says happens later than this after its answer: the farthest settlement announced is hours away."""

LONGEST_AGO: Final = datetime(1970, 1, 1)
LATEST: Final = datetime(2200, 1, 1)
"""Bounds of all other times, such as those of listing and delivery, which venues state as 0 or 2100 for never."""

WORDS: Final = 600
"""Characters of a parser's words that are kept."""


def read_pages(
    contract: Contract, feed: Feed, pages: Iterable[Page], context: Context, account: Account
) -> Iterator[Parsed]:
    """What the feed's parser makes of `pages`, which come ordered by subject, with every record in `account`.

    They are parsed in parts of whole subjects, so that memory holds one part and not a month.

    A row whose time cannot be (before FIRST_TIME, or long after the answer) is a reject. Raises what the parser raises;
    SourceFormatError if the pages have records and none of them is near the span; ContractError if a record vanished.
    """
    where, excerpt = "", ""
    rows = near = 0
    for part in _parts(pages):
        if part and not where:
            where, excerpt = part[0].where, part[0].excerpt
        parsed = feed.parse(part, context)
        while True:
            with account.open():
                one = next(parsed, None)
            if one is None:
                break
            rows += one.rows.height
            table = contract.table(one.table)
            one = _with_possible_times(table, one, context)
            strays = _strays(table, feed, one.rows, context)
            near += one.rows.height - strays.height
            accepted = one.rows if strays.is_empty() else one.rows.join(strays, on=LINE, how="anti")
            account.take(accepted, strays, one.rejects)
            yield one
    counts = account.total()
    only_far = counts.far > 0 and counts.far == counts.received - sum(counts.ignored.values())
    if (rows and not near) or only_far:
        raise SourceFormatError(
            f"{where}: {rows or counts.far} records, and no time in them is near {context.span.start:%Y-%m-%d %H:%M} "
            f"to {context.span.end:%Y-%m-%d %H:%M}; the venue's unit of time or its bounds changed: {excerpt}"
        )
    account.raise_if_unnamed()


def _parts(pages: Iterable[Page]) -> Iterator[Sequence[Page]]:
    """The pages in parts of about PART_BYTES that end where a subject does: no row depends on answers about several subjects.
    One empty part if there are none."""
    part: list[Page] = []
    size = 0
    for page in pages:
        if size > PART_BYTES and page.subject != part[-1].subject:
            yield part
            part, size = [], 0
        part.append(page)
        size += len(page.body)
    yield part


def _strays(table: Table, feed: Feed, rows: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The rows more than a day beside the span. Captures and tables merged by key say things of other times too."""
    if table.merge or table.day_column is None or not isinstance(feed.cadence, Daily) or rows.is_empty():
        return rows.clear()
    at = rows.get_column(table.day_column)
    first, last = context.span.start - NEAR, context.span.end + NEAR
    if _lies_between(at, first, last):
        return rows.clear()
    return rows.filter(~at.is_between(first, last).fill_null(value=True))


def _lies_between(times: pl.Series, first: datetime, last: datetime) -> bool:
    """Whether all times are between two, both included, or null. As numbers: no date has the year 58,000, and it is quick."""
    numbers = times.cast(pl.Datetime("us")).to_physical()
    earliest, latest = numbers.min(), numbers.max()
    if not isinstance(earliest, int) or not isinstance(latest, int):
        return True
    bounds = [(bound - datetime(1970, 1, 1)) // timedelta(microseconds=1) for bound in (first, last)]
    return bounds[0] <= earliest and latest <= bounds[1]


def _with_possible_times(table: Table, one: Parsed, context: Context) -> Parsed:
    """`one` without rows at a time that cannot be; these are rejects."""
    wrong: pl.Expr | None = None
    for column, kind in one.rows.schema.items():
        if isinstance(kind, pl.Datetime):
            first, last = LONGEST_AGO, LATEST
            if column == table.day_column and not table.merge:
                first, last = FIRST_TIME, max(context.span.end, context.fetched_at) + LONGEST_AHEAD
            if not _lies_between(one.rows.get_column(column), first, last):
                found = pl.when(~pl.col(column).is_between(first, last)).then(pl.lit(column))
                wrong = found if wrong is None else pl.coalesce(wrong, found)
    if wrong is None:
        return one
    named = one.rows.with_columns(wrong.alias("wrong"))
    impossible = named.filter(pl.col("wrong").is_not_null())
    # The year 58,000 is no date that could be written out.
    stamps = [pl.col(c).dt.epoch("us").alias(c) for c, kind in one.rows.schema.items() if isinstance(kind, pl.Datetime)]
    instrument = table.instrument_column
    rejects = impossible.with_columns(stamps).select(
        pl.lit(None, pl.Date).alias("trade_date"),
        pl.col(LINE).alias("line"),
        pl.col("wrong").alias("field"),
        (pl.col(instrument) if instrument in impossible.columns else pl.lit(None, pl.String)).alias("instrument"),
        pl.lit("unparsable").alias("reason"),
        pl.format("{} is no time that can be", "wrong").alias("detail"),
        pl.struct(pl.all().exclude(LINE, "wrong")).struct.json_encode().alias("raw"),
    )
    before = no_rejects() if one.rejects is None else one.rejects
    return Parsed(one.table, named.filter(pl.col("wrong").is_null()).drop("wrong"), pl.concat([before, rejects]))


SERIES: Final = {"open_interest": "oi_raw", "candles": "close"}
"""By table, the value that moves all day at a living venue, if only in the last digit."""

FEWEST: Final = 12
"""Values of an instrument from which a day that does not move is told from one that shows too little."""


@dataclass
class _Pulse:
    """The pulse of a span, from what is read of it in parts."""

    rows: int = 0
    hashed: int = 0
    moves: bool = False
    series: int = 0

    def add(self, one: Parsed) -> None:
        if one.table not in STATES | LISTS or one.rows.is_empty():
            return
        self.rows += one.rows.height
        values = [c for c, kind in one.rows.schema.items() if not isinstance(kind, pl.Datetime) and c != LINE]
        self.hashed += sum(one.rows.select(values).hash_rows().to_list())
        series = SERIES.get(one.table)
        if series is None:
            return
        self.series += 1
        of_each = one.rows.group_by("instrument").agg(pl.len().alias("n"), pl.col(series).n_unique().alias("different"))
        is_flat = of_each.select(((pl.col("n") >= FEWEST) & (pl.col("different") == 1)).all()).item()
        volumes = [c for c in ("volume_base", "volume_quote") if c in one.rows.columns]
        is_traded = any(one.rows.select((pl.col(c) > 0).any()).item() for c in volumes)
        self.moves = self.moves or not is_flat or is_traded

    @property
    def found(self) -> Pulse:
        return Pulse(self.rows, f"{self.rows}:{self.hashed % 2**64:016x}", self.moves or not self.series)


@dataclass
class AnswerReader:
    """Reads the answers of one feed as the load will, to know that it can; implements extract's Reader."""

    contract: Contract
    venue: Venue
    feed: Feed
    instruments: Callable[[Span], pl.DataFrame]
    version_of: Callable[[], str]
    _known: dict[Span, pl.DataFrame] = field(default_factory=dict)
    _pulses: dict[Span, _Pulse] = field(default_factory=dict)

    def pulse(self, span: Span) -> Pulse | None:
        """What was read about a span says of the market's state; None of files, of which a sample is read."""
        return None if self.feed.sample is not None else self._pulses.get(span, _Pulse()).found

    @property
    def version(self) -> str:
        """Version of the code that reads, as registry.reader_version gives it."""
        return self.version_of()

    def unreadable(self, pages: Sequence[Page], span: Span, fetched_at: datetime) -> Mapping[str, SourceFormatError]:
        """Why the answers about a subject cannot be read, by subject; empty if all can be.

        All subjects are parsed at once, which costs a fraction of parsing each; only where that fails, or where nothing of a
        subject is accepted, each is parsed by itself. Raises OSError and MemoryError for what is wrong with this machine.
        """
        if span not in self._known:
            self._known = {span: self.instruments(span)}
        context = Context(self.venue.name, fetched_at, span, self._known[span])
        account = Account()
        pulse = self._pulses.setdefault(span, _Pulse())
        error = self._error(self._sampled(pages), context, account, pulse)
        counts = account.by_subject()
        subjects = list(dict.fromkeys(page.subject for page in pages))
        doubted = [s for s in subjects if error or (s in counts and counts[s].is_doubtful)]
        if len(subjects) == 1 and self.feed.sample is None:
            return {subjects[0]: error} if error else {}
        found: dict[str, SourceFormatError] = {}
        for subject in doubted:
            # By itself and as a whole: the first lines of a file may be odd where the others are not.
            own = [page for page in pages if page.subject == subject]
            if (reason := self._error(own, context, Account())) is not None:
                found[subject] = reason
        # Each can be read by itself, and all together cannot.
        together = self.feed.sample is None and error is not None and not found
        return dict.fromkeys(subjects, error) if together and error else found

    def _sampled(self, pages: Sequence[Page]) -> Iterator[Page]:
        return iter(pages) if self.feed.sample is None else map(self.feed.sample, pages)

    def _error(
        self, pages: Iterable[Page], context: Context, account: Account, pulse: _Pulse | None = None
    ) -> SourceFormatError | None:
        try:
            # As in a pack, for which the answers about a subject lie together.
            read = sorted(pages, key=lambda page: page.subject)
            for one in read_pages(self.contract, self.feed, read, context, account):
                if pulse is not None:
                    pulse.add(one)
            if self.feed.name == TURNOVER and self.venue.turnover is not None:
                self.venue.turnover(read)
        # A parser meets whatever the world sends, and a panic of polars is no Exception.
        except BaseException as error:
            if not is_fault_of_bytes(error):
                raise
            return unreadable_answer(error)
        return None


def unreadable_answer(error: BaseException) -> SourceFormatError:
    """The error of an answer that cannot be read, with the parser's words."""
    if isinstance(error, SourceFormatError):
        return error
    said = " ".join(str(error).split())[:WORDS]
    found = SourceFormatError(f"the answer cannot be read: {type(error).__name__}: {said}")
    found.__cause__ = error
    return found
