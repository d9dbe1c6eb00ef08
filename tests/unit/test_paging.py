"""Paging: for any sizes, bounds and ties, every row of the span is returned, and paging ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import SourceFormatError
from pipelines.extract.paging import pages_by_cursor, paginate_backward, paginate_by_slices, paginate_forward
from pipelines.extract.venue import Page


def page_of(stamps: Sequence[int], cursor: str | None = None) -> Page:
    return Page("X", {"path": "/x"}, 200, datetime(2024, 1, 1), orjson.dumps({"rows": list(stamps), "cursor": cursor}))


def stamps_of(page: Page) -> list[int]:
    rows: list[int] = page.json()["rows"]
    return rows


def gathered(pages: AsyncIterator[Page]) -> list[list[int]]:
    async def gather() -> list[list[int]]:
        return [stamps_of(page) async for page in pages]

    return asyncio.run(gather())


def venue(stamps: Sequence[int], limit: int, *, newest: bool) -> Callable[[int, int], Awaitable[Page]]:
    async def get(first: int, last: int) -> Page:
        inside = sorted(stamp for stamp in stamps if first <= stamp <= last)
        return page_of((inside[-limit:][::-1] if limit else []) if newest else inside[:limit])

    return get


unique_stamps = st.lists(st.integers(-5, 60), unique=True, max_size=60)
limits = st.integers(1, 9)


@given(stamps=unique_stamps, limit=limits, start=st.integers(0, 30), width=st.integers(1, 30))
def test_forward_and_backward_paging_return_every_row_of_the_span_once(
    stamps: list[int], limit: int, start: int, width: int
) -> None:
    wanted = sorted(stamp for stamp in stamps if start <= stamp < start + width)
    for pages, newest in ((paginate_forward, False), (paginate_backward, True)):
        got = gathered(
            pages(venue(stamps, limit, newest=newest), stamps_of, start=start, end=start + width, limit=limit)
        )
        assert sorted(stamp for page in got for stamp in page) == wanted


@given(stamps=unique_stamps, cap=st.integers(1, 9), start=st.integers(0, 30), width=st.integers(1, 30))
def test_a_cap_below_the_limit_loses_no_rows(stamps: list[int], cap: int, start: int, width: int) -> None:
    """Whichever rows the venue keeps, with and without known spacing, and also where it stamps rows with equal instants."""
    end = start + width
    wanted = sorted(stamp for stamp in stamps if start <= stamp < end)
    oldest, newest = (venue(stamps, cap, newest=is_newest) for is_newest in (False, True))
    for pages in (
        paginate_forward(oldest, stamps_of, start=start, end=end, limit=100),
        paginate_forward(oldest, stamps_of, start=start, end=end, limit=100, spacing=1),
        paginate_backward(newest, stamps_of, start=start, end=end, limit=100),
        paginate_backward(newest, stamps_of, start=start, end=end, limit=100, spacing=1),
        paginate_by_slices(oldest, stamps_of, start=start, end=end, limit=100, width=7, spacing=1),
        paginate_by_slices(newest, stamps_of, start=start, end=end, limit=100, width=100, spacing=1),
    ):
        assert sorted(stamp for page in gathered(pages) for stamp in page) == wanted
    # Where rows can share a timestamp, the one at a border comes twice, and more of them than a page holds cannot be told apart.
    if cap > 1:
        for pages in (
            paginate_forward(oldest, stamps_of, start=start, end=end, limit=100, step=0),
            paginate_by_slices(oldest, stamps_of, start=start, end=end, limit=100, width=7),
            paginate_by_slices(newest, stamps_of, start=start, end=end, limit=100, width=100),
        ):
            assert sorted({stamp for page in gathered(pages) for stamp in page}) == wanted


@given(stamps=st.lists(st.integers(0, 10), max_size=30), limit=st.integers(1, 9))
def test_rows_that_share_a_timestamp_are_all_returned_or_raise(stamps: list[int], limit: int) -> None:
    """With step 0 the newest timestamp is requested again, so that ties split by a page boundary are not lost."""
    for pages, newest in ((paginate_forward, False), (paginate_backward, True)):
        try:
            got = gathered(pages(venue(stamps, limit, newest=newest), stamps_of, start=0, end=11, limit=limit, step=0))
        except SourceFormatError:
            assert max(stamps.count(stamp) for stamp in stamps) >= limit
            continue
        for stamp in set(stamps):
            assert max(page.count(stamp) for page in got) == stamps.count(stamp) or limit <= stamps.count(stamp)


@given(stamps=unique_stamps, limit=st.integers(2, 9), width=st.integers(1, 20))
def test_full_windows_are_halved_until_none_is_full(stamps: list[int], limit: int, width: int) -> None:
    got = gathered(
        paginate_by_slices(venue(stamps, limit, newest=False), stamps_of, start=0, end=40, limit=limit, width=width)
    )
    assert sorted(stamp for page in got for stamp in page) == sorted(stamp for stamp in stamps if 0 <= stamp < 40)


def test_a_venue_that_ignores_the_bounds_is_an_error() -> None:
    async def get(first: int, last: int) -> Page:
        return page_of([1, 2, 3])

    with pytest.raises(SourceFormatError, match="ignores the bounds"):
        gathered(paginate_forward(get, stamps_of, start=10, end=100, limit=3))
    with pytest.raises(SourceFormatError, match="ignores the bounds"):
        gathered(paginate_backward(get, lambda page: [200], start=10, end=100, limit=1))


def test_a_repeated_cursor_is_an_error() -> None:
    async def get(after: str | None) -> Page:
        return page_of([1], cursor="same")

    with pytest.raises(SourceFormatError, match="'same' was returned twice"):
        gathered(pages_by_cursor(get, lambda page: page.json()["cursor"]))


def test_cursors_are_followed_to_the_end() -> None:
    async def get(after: str | None) -> Page:
        number = int(after or 0)
        return page_of([number], cursor=str(number + 1) if number < 4 else None)

    assert gathered(pages_by_cursor(get, lambda page: page.json()["cursor"])) == [[0], [1], [2], [3], [4]]
