"""The answers about the subjects of one partition: read in batches before they count, then written or kept apart.

What cannot be read is landed as it came, as a part of its own, so that it takes the place of nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pipelines.core.errors import (
    ConfigError,
    MalformedAnswerError,
    RequestRefusedError,
    SourceFormatError,
    TransientError,
)
from pipelines.core.files import is_fault_of_bytes
from pipelines.extract import fetch_log
from pipelines.extract.landing import Clock, Landing, LandingStore, PackDraft, Refusal
from pipelines.extract.pack import Pack
from pipelines.extract.venue import WHOLE_VENUE, Api, NotYetPublishedError, Page, Reader, Span, Venue

UNREADABLE: Final = "unreadable"
"""Completeness of answers that could not be read, and what the name of their part ends with."""

READ_BYTES: Final = 1 << 20
"""Answers are read once there are this many bytes of them: parsing a batch costs a fraction of parsing each."""

THREAD_BYTES: Final = 1 << 20
"""From this size on, in bytes, answers are read, compressed and written in a thread."""

WORDS: Final = 300
"""Characters of a parser's words in a manifest."""

Result = TypeVar("Result")


_LAST: Final[ContextVar[Page | None]] = ContextVar("last_answer", default=None)


@dataclass(eq=False)
class HeardApi:
    """Implements venue.Api, and remembers the last answer of each task: what a fetch fails on is landed too.

    One for all feeds of a run, because some keep what they asked once by the api they asked.
    """

    api: Api

    @property
    def last(self) -> Page | None:
        """The last answer in this task since `forget`."""
        return _LAST.get()

    def forget(self) -> None:
        """Forget the last answer, before another job."""
        _LAST.set(None)

    @property
    def endpoints(self) -> Collection[str]:
        return self.api.endpoints

    @property
    def node_blocks(self) -> int | None:
        return self.api.node_blocks

    async def get(
        self,
        path: str,
        *,
        subject: str = WHOLE_VENUE,
        endpoint: str = "api",
        params: Mapping[str, str | int] | None = None,
        costs: Mapping[str, float] | None = None,
        accept: Sequence[int] = (200,),
        is_json: bool = True,
    ) -> Page:
        with _heard():
            page = await self.api.get(
                path, subject=subject, endpoint=endpoint, params=params, costs=costs, accept=accept, is_json=is_json
            )
        _LAST.set(page)
        return page

    async def post(
        self,
        path: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        subject: str = WHOLE_VENUE,
        endpoint: str = "api",
        costs: Mapping[str, float] | None = None,
        accept: Sequence[int] = (200,),
        is_json: bool = True,
    ) -> Page:
        with _heard():
            page = await self.api.post(
                path, body=body, subject=subject, endpoint=endpoint, costs=costs, accept=accept, is_json=is_json
            )
        _LAST.set(page)
        return page


@contextmanager
def _heard() -> Iterator[None]:
    """Remember the answer that a request failed on, if one came."""
    try:
        yield
    except MalformedAnswerError as error:
        if isinstance(error.answer, Page):
            _LAST.set(error.answer)
        raise


class MisreadError(Exception):
    """A feed's fetch failed on an answer that had come. `pages` are those that were received, the last of them the one."""

    def __init__(self, pages: Sequence[Page], reason: SourceFormatError) -> None:
        super().__init__(str(reason))
        self.pages = pages
        self.reason = reason


def is_about_answer(error: BaseException) -> bool:
    """Whether an error of a feed's fetch came from reading an answer: not from the request, the venue or this machine."""
    if isinstance(error, asyncio.CancelledError | NotYetPublishedError | RequestRefusedError | ConfigError):
        return False
    if isinstance(error, TransientError):
        return isinstance(error, MalformedAnswerError)
    return is_fault_of_bytes(error)


def misread(error: BaseException, received: Sequence[Page], last: Page) -> MisreadError:
    """The error of a fetch that failed on its last answer."""
    pages = list(received) if any(page is last for page in received) else [*received, last]
    if isinstance(error, SourceFormatError):
        return MisreadError(pages, error)
    if isinstance(error, MalformedAnswerError):
        reason = SourceFormatError(str(error))
        reason.__cause__ = error
        return MisreadError(pages, reason)
    said = " ".join(str(error).split())
    reason = SourceFormatError(
        f"{last.where}: the answer cannot be read: {type(error).__name__}: {said}: {last.excerpt}"
    )
    reason.__cause__ = error
    return MisreadError(pages, reason)


@dataclass
class Answers:
    """Reads the pages of a partition, one subject after another, and writes those that can be read into its draft."""

    reader: Reader
    span: Span
    clock: Clock
    draft: PackDraft
    unreadable: dict[str, tuple[Sequence[Page], SourceFormatError]] = field(default_factory=dict)
    """Pages that cannot be read, by subject, and why."""
    _waiting: dict[str, Sequence[Page]] = field(default_factory=dict)
    _bytes: int = 0
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, subject: str, pages: Sequence[Page]) -> None:
        """Take the pages about one subject. They are read when enough have come, the rest by `finish`."""
        async with self._lock:
            self._waiting[subject] = pages
            self._bytes += sum(len(page.body) for page in pages)
            if self._bytes >= READ_BYTES:
                await self._take()

    async def finish(self) -> None:
        """Read what has not been read yet."""
        async with self._lock:
            await self._take()

    async def _take(self) -> None:
        """Read and write what waits.

        Little is done in the event loop: a thread takes three times as long because it competes with the event loop for the
        interpreter lock.
        """
        if self._bytes < THREAD_BYTES:
            self._read_and_write()
        else:
            await in_thread(self._read_and_write)

    def _read_and_write(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, {}, 0
        # A subject without pages was answered with nothing, and a page may name another subject than the job's.
        owner = {page.subject: subject for subject, pages in waiting.items() for page in pages}
        pages = [page for some in waiting.values() for page in some]
        found = self.reader.unreadable(pages, self.span, self.clock()) if pages else {}
        reasons = {owner[subject]: reason for subject, reason in found.items()}
        for subject, some in waiting.items():
            if subject in reasons:
                self.unreadable[subject] = (some, reasons[subject])
            for page in some:
                # Parsed JSON takes many times the memory of the body.
                page.clear_cache()
                if subject not in reasons:
                    self.draft.add(page)


@dataclass(frozen=True)
class UnreadableParts:
    """Lands the answers of a source that cannot be read, and forgets them once the same was read."""

    store: LandingStore
    venue: Venue
    source: str
    reader: Reader
    clock: Clock

    def settle(
        self,
        partition: str,
        part: str,
        span: Span,
        *,
        unreadable: Mapping[str, tuple[Sequence[Page], SourceFormatError]],
        read: Collection[str],
    ) -> Landing | None:
        """Land `unreadable` of a partition with what was unreadable of it before, and is not among the `read` subjects.

        Returns a new landing, if there is one. The one before is forgotten: this one holds what is left of it.
        """
        name = f"{part}-{UNREADABLE}"
        held = self.store.newest(self.source, partition, name)
        before: Mapping[str, str] = {} if held is None else held.request[UNREADABLE]
        carried = {subject: words for subject, words in before.items() if subject not in {*unreadable, *read}}
        if not unreadable and len(carried) == len(before):
            return None
        words = carried | {subject: str(reason)[:WORDS] for subject, (_, reason) in unreadable.items()}
        landing = self._land(partition, name, span, words, unreadable, carried, held) if words else None
        if held is not None and landing is not None and landing.landing_id == held.landing_id:
            return None
        if held is not None:
            what = "its answers were read" if landing is None else f"version {landing.version} holds what is left of it"
            self.store.forget(held, reason=what, clock=self.clock)
        return landing

    def _land(
        self,
        partition: str,
        name: str,
        span: Span,
        words: Mapping[str, str],
        unreadable: Mapping[str, tuple[Sequence[Page], SourceFormatError]],
        carried: Collection[str],
        held: Landing | None,
    ) -> Landing:
        ignored = self.venue.ignored_in_digest
        with self.store.draft(self.source, partition, name, ignored_in_digest=ignored) as draft:
            if held is not None:
                for page in Pack(held.path).pages():
                    if page.subject in carried:
                        draft.add(page)
            for pages, _ in unreadable.values():
                for page in pages:
                    draft.add(page)
            landing = draft.land(
                completeness=UNREADABLE,
                request={
                    "span": [span.start.isoformat(), span.end.isoformat()],
                    UNREADABLE: dict(sorted(words.items())),
                },
                original_name=f"{self.source} {partition} {name}.zip",
                clock=self.clock,
            )
        subject, first = min(words.items())
        more = f" (and {len(words) - 1} more subjects)" if len(words) > 1 else ""
        refusal = Refusal(
            landing_id=landing.landing_id, source=self.source, partition=partition, part=name, reason=UNREADABLE,
            detail=f"{subject}: {first}{more}", page=None, sample=(), reader_version=self.reader.version,
            refused_at=self.clock(),
        )  # fmt: skip
        self.store.refuse(landing, refusal)
        return landing


def note_unreadable(subject: fetch_log.Subject, reason: SourceFormatError) -> None:
    """Write the parser's words into the journal."""
    fetch_log.record("malformed", str(reason), effect="given_up", subject=subject, reason="unreadable answer")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread, so that reading, compressing and syncing do not block pending requests.

    A canceled fetch still waits for it: a thread cannot be stopped, and the files it writes are removed afterwards.
    """
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise
