"""Paging that cannot loop, skip or stop early: three shapes of paging, each with the guards all venues need.

Which shape an endpoint has stands in its venue's module. A page's rows are only counted and their stamps read here, and that
before the page is handed on: whoever takes it lets go of what was read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from pipelines.core.errors import SourceFormatError
from pipelines.extract import fetch_log
from pipelines.extract.venue import Page, Span

Stamps = Callable[[Page], Sequence[int]]
"""Stamps of a page's rows, in the unit of the endpoint, in whatever order they came."""

GetSlice = Callable[[int, int], Awaitable[Page]]
"""Ask for rows of stamps [start, end], both included; the venue's module makes exclusive bounds of it where needed."""

GetAfter = Callable[[str | None], Awaitable[Page]]

MOST_PAGES: Final = 100_000


async def paginate_forward(
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, step: int = 1
) -> AsyncIterator[Page]:
    """Pages of rows with stamps in [start, end), asked from old to new: each begins behind the newest row so far.

    A page of fewer than `limit` rows is the last. `step` is 1 where a stamp has one row; 0 where rows can share one: the
    newest stamp is then asked for again, and the loader drops what came twice. Raises SourceFormatError where a full page
    does not get past the cursor: the venue ignores the bounds, or one stamp fills a page.
    """
    first = start
    for _ in range(MOST_PAGES):
        page, seen = await _asked_twice(get, stamps, first, end - 1)
        yield page
        if len(seen) < limit:
            return
        first = _advanced(page, first, max(seen) + step)
        if first >= end:
            return
    raise _endless(page)


async def paginate_backward(
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, step: int = 1, spacing: int | None = None
) -> AsyncIterator[Page]:
    """The same for endpoints that answer with the newest rows of the bounds: each page ends before the oldest row so far.

    Where rows come every `spacing`, a short page is not taken for the last, so that a cap below `limit` loses nothing: the
    end is where the first row there can be is reached, or where an answer is empty.
    """
    last, first_row = end - 1, start if spacing is None else start + spacing - 1
    for _ in range(MOST_PAGES):
        page, seen = await _asked_twice(get, stamps, start, last)
        yield page
        if not seen or (spacing is None and len(seen) < limit):
            return
        last = -_advanced(page, -last, -(min(seen) - step))
        if last < first_row:
            return
    raise _endless(page)


async def paginate_by_slices(
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, width: int
) -> AsyncIterator[Page]:
    """For endpoints that cap both the width of the window and the rows, and say nothing about which rows they leave out:
    windows of `width`, halved wherever a page comes back full."""
    waiting = [(first, min(first + width, end)) for first in range(start, end, width)][::-1]
    while waiting:
        first, stop = waiting.pop()
        page, seen = await _asked_twice(get, stamps, first, stop - 1)
        if len(seen) < limit:
            yield page
            continue
        if stop - first <= 1:
            raise SourceFormatError(f"{page.where}: {limit} rows in the smallest window there is; rows may be missing.")
        middle = (first + stop) // 2
        waiting += [(middle, stop), (first, middle)]


async def pages_by_cursor(
    get: GetAfter, cursor: Callable[[Page], str | None], *, is_done: Callable[[Page], bool] = lambda page: False
) -> AsyncIterator[Page]:
    """Pages linked by a cursor, until there is none or `is_done`. Raises SourceFormatError for a cursor seen before."""
    seen: set[str] = set()
    after: str | None = None
    for _ in range(MOST_PAGES):
        page = await get(after)
        after = cursor(page)
        is_last = not after or is_done(page)
        yield page
        if after is None or is_last:
            return
        if after in seen:
            raise SourceFormatError(
                f"{page.where}: the cursor {after!r} came a second time; the venue's paging changed."
            )
        seen.add(after)
    raise _endless(page)


async def _asked_twice(get: GetSlice, stamps: Stamps, first: int, last: int) -> tuple[Page, Sequence[int]]:
    """An answer and its stamps. One without rows is asked for a second time before it is believed: a venue in trouble may
    answer like one in which nothing happened, and a day landed as empty is not asked for again."""
    page = await get(first, last)
    if seen := stamps(page):
        return page, seen
    page = await get(first, last)
    if seen := stamps(page):
        fetch_log.record(
            "empty_answer", f"{page.where}: no rows at first, {len(seen)} when asked again", effect="asked_again"
        )
    return page, seen


def slices(span: Span, *, width_ms: int) -> list[tuple[int, int]]:
    """[start, end) in milliseconds, at most `width_ms` wide each."""
    return [(first, min(first + width_ms, span.end_ms)) for first in range(span.start_ms, span.end_ms, width_ms)]


def _advanced(page: Page, before: int, after: int) -> int:
    if after <= before:
        raise SourceFormatError(
            f"{page.where}: a full page brought no row past the cursor; the venue ignores the bounds or its paging changed."
        )
    return after


def _endless(page: Page) -> SourceFormatError:
    return SourceFormatError(f"{page.where}: still not at the end after {MOST_PAGES} pages.")
