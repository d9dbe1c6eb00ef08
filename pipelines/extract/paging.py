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
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, step: int = 1, spacing: int | None = None
) -> AsyncIterator[Page]:
    """Pages of rows with timestamps in [start, end), oldest first: each page starts after the newest row so far.

    A short page is not taken as the last, so that a page size below `limit` loses no rows: paging ends when the last possible row
    is reached (with `spacing`, the shortest time between two rows) or nothing new comes. `step` is 1 if timestamps are unique, 0 if
    rows can share one: the newest timestamp is then requested again, and the loader drops the duplicates. Raises SourceFormatError
    if a full page does not advance the cursor: the venue ignores the bounds, or one timestamp fills a page.
    """
    first, before = start, list[int]()
    for _ in range(MOST_PAGES):
        page, seen = await _get_next(get, stamps, first, end - 1, is_first=not before)
        if before and _repeats(seen, first, before):
            if not seen or first + 1 >= end:
                return
            # Every row of the newest timestamp is there, unless they filled the page and more rows follow.
            first += 1
            page, seen = await _get_next(get, stamps, first, end - 1, is_first=False)
            if not seen:
                return
            if before.count(first - 1) == len(before):
                raise SourceFormatError(
                    f"{page.where}: {len(before)} rows of one timestamp fill a page; rows may be missing."
                )
        yield page
        if not seen:
            return
        newest, is_short = max(seen), len(seen) < limit
        if is_short and newest + step < first:
            return
        if not is_short or newest + step > first:
            first = _advanced(page, first, newest + step)
        if newest + (spacing if spacing is not None and is_short else step) >= end:
            return
        before = list(seen)
    raise _endless(page)


async def paginate_backward(
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, step: int = 1, spacing: int | None = None
) -> AsyncIterator[Page]:
    """The same for endpoints that return the newest rows within the bounds: each page ends before the oldest row so far."""
    last, before = end - 1, list[int]()
    first_row = start if spacing is None else start + spacing - 1
    for _ in range(MOST_PAGES):
        page, seen = await _get_next(get, stamps, start, last, is_first=not before)
        if before and len(seen) < limit and _repeats(seen, last, before):
            return
        yield page
        if not seen:
            return
        oldest = min(seen)
        if len(seen) < limit and oldest - step >= last:
            return
        last = -_advanced(page, -last, -(oldest - step))
        if last < first_row:
            return
        before = list(seen)
    raise _endless(page)


def _repeats(seen: Sequence[int], bound: int, before: Sequence[int]) -> bool:
    """Whether a page has no row that the page before did not have: none, or those at the bound that was requested again."""
    return all(stamp == bound for stamp in seen) and len(seen) <= before.count(bound)


async def paginate_by_slices(
    get: GetSlice, stamps: Stamps, *, start: int, end: int, limit: int, width: int, spacing: int | None = None
) -> AsyncIterator[Page]:
    """For endpoints that limit both the width of the window and the number of rows without saying which rows they omit:
    windows of `width`, halved whenever a page is full.

    A page that is not full is not taken as whole either, so that a page size below `limit` loses no rows: what lies before its
    first and after its last row is requested again, unless no row fits there (`spacing` is the shortest time between two rows;
    None: rows can share a timestamp, and those of the first and last are requested too).
    """
    # Windows with the timestamps of the page that a window is the rest of.
    pending = [(first, min(first + width, end), list[int]()) for first in range(start, end, width)][::-1]
    shared, gap = (1, 2) if spacing is None else (0, spacing)
    while pending:
        first, stop, before = pending.pop()
        page, seen = await _get_next(get, stamps, first, stop - 1, is_first=not before)
        if (
            before
            and all(stamp in (first, stop - 1) and before.count(stamp) for stamp in seen)
            and len(seen) <= sum(before.count(stamp) for stamp in {first, stop - 1})
        ):
            continue
        if len(seen) >= limit:
            if stop - first <= 1:
                raise SourceFormatError(
                    f"{page.where}: {limit} rows in the smallest possible window; rows may be missing."
                )
            middle = (first + stop) // 2
            pending += [(middle, stop, before), (first, middle, before)]
            continue
        yield page
        inside = [stamp for stamp in seen if first <= stamp < stop]
        if inside and stop - 1 - max(inside) >= gap - shared:
            pending.append((max(inside) + 1 - shared, stop, inside))
        if inside and min(inside) - first >= gap - shared:
            pending.append((first, min(inside) + shared, inside))


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


async def _get_next(
    get: GetSlice, stamps: Stamps, first: int, last: int, *, is_first: bool
) -> tuple[Page, Sequence[int]]:
    """A page and its timestamps. Only an empty first page is doubted: behind rows, an empty one is the expected end."""
    if is_first:
        return await _get_confirming_empty(get, stamps, first, last)
    page = await get(first, last)
    return page, stamps(page)


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
