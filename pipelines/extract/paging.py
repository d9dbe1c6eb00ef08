"""Paging that cannot loop, skip rows or stop early: by time, by slices and by cursor, with checks on every page.

The venue's module chooses the kind of paging of an endpoint. Rows are only counted here and their timestamps read, before
the page is yielded, because the consumer clears the parsed content.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from pipelines.core.errors import SourceFormatError
from pipelines.extract import fetch_log
from pipelines.extract.venue import Page, Span

Stamps = Callable[[Page], Sequence[int]]
"""Timestamps of a page's rows, in the endpoint's unit, in any order."""

GetSlice = Callable[[int, int], Awaitable[Page]]
"""Requests rows with timestamps in [start, end], both inclusive; the venue's module converts to exclusive bounds if needed."""

GetAfter = Callable[[str | None], Awaitable[Page]]

MOST_PAGES: Final = 100_000


async def paginate_forward(
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, step: int = 1
) -> AsyncIterator[Page]:
    """Pages of rows with timestamps in [start, end), oldest first: each page starts after the newest row so far.

    A page of fewer than `limit` rows is the last. `step` is 1 if timestamps are unique, 0 if rows can share one: the newest
    timestamp is then requested again, and the loader drops the duplicates. Raises SourceFormatError if a full page does not
    advance the cursor: the venue ignores the bounds, or one timestamp fills a page.
    """
    first = start
    for _ in range(MOST_PAGES):
        page, seen = await _get_confirming_empty(get, stamps, first, end - 1)
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
    """The same for endpoints that return the newest rows within the bounds: each page ends before the oldest row so far.

    With `spacing` (rows come at this interval), a short page is not taken as the last, so that a page size below `limit`
    loses no rows: paging ends when the first possible row is reached or a page is empty.
    """
    last, first_row = end - 1, start if spacing is None else start + spacing - 1
    for _ in range(MOST_PAGES):
        page, seen = await _get_confirming_empty(get, stamps, start, last)
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
    """For endpoints that limit both the width of the window and the number of rows without saying which rows they omit:
    windows of `width`, halved whenever a page is full."""
    pending = [(first, min(first + width, end)) for first in range(start, end, width)][::-1]
    while pending:
        first, stop = pending.pop()
        page, seen = await _get_confirming_empty(get, stamps, first, stop - 1)
        if len(seen) < limit:
            yield page
            continue
        if stop - first <= 1:
            raise SourceFormatError(f"{page.where}: {limit} rows in the smallest possible window; rows may be missing.")
        middle = (first + stop) // 2
        pending += [(middle, stop), (first, middle)]


async def pages_by_cursor(
    get: GetAfter, cursor: Callable[[Page], str | None], *, is_done: Callable[[Page], bool] = lambda page: False
) -> AsyncIterator[Page]:
    """Pages linked by a cursor, until there is none or `is_done`. Raises SourceFormatError for a repeated cursor."""
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
                f"{page.where}: the cursor {after!r} was returned twice; the venue's paging changed."
            )
        seen.add(after)
    raise _endless(page)


async def _get_confirming_empty(get: GetSlice, stamps: Stamps, first: int, last: int) -> tuple[Page, Sequence[int]]:
    """A page and its timestamps. An empty page is requested a second time: a venue with an outage may return no rows, and a
    day landed as empty is not fetched again."""
    page = await get(first, last)
    if seen := stamps(page):
        return page, seen
    page = await get(first, last)
    if seen := stamps(page):
        fetch_log.record("empty_answer", f"{page.where}: no rows at first, {len(seen)} on retry", effect="asked_again")
    return page, seen


def slices(span: Span, *, width_ms: int) -> list[tuple[int, int]]:
    """[start, end) in milliseconds, at most `width_ms` wide each."""
    return [(first, min(first + width_ms, span.end_ms)) for first in range(span.start_ms, span.end_ms, width_ms)]


def _advanced(page: Page, before: int, after: int) -> int:
    if after <= before:
        raise SourceFormatError(
            f"{page.where}: a full page did not advance the cursor; the venue ignores the bounds or its paging changed."
        )
    return after


def _endless(page: Page) -> SourceFormatError:
    return SourceFormatError(f"{page.where}: not at the end after {MOST_PAGES} pages.")
