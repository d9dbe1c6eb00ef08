"""The order of pages in a landing and repeated pages do not change the result, for every daily feed of every exchange.

Page sizes, bounds and overlaps are venue-specific and tested with each venue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.extract.venue import Context, Feed, Job, Page, Span
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS, SCHEMA, InstrumentHistory
from tests.sources.in_process import InProcessApi, fetch_pages
from tests.sources.venue_case import VenueCase
from tests.sources.venue_cases import VENUE_CASES

MARKET: Final = AnalyticMarket()
FEEDS: Final = {
    f"{case.venue}.{feed.name}": (case, feed)
    for case in VENUE_CASES
    for feed in registry.venue(case.venue).feeds
    if feed.cadence.name == "daily" and feed.partitioning.months != "only"
}


def in_process_api(case: VenueCase) -> InProcessApi:
    return InProcessApi(case.emulated.ROUTES, MARKET, case.now)


@cache
def instruments(venue: str) -> pl.DataFrame:
    """The venue's instruments, as landed today."""
    case = next(case for case in VENUE_CASES if case.venue == venue)
    feed = registry.venue(venue).feed(INSTRUMENTS)
    day = Span.of_days(case.day, case.day)
    context = Context(venue, case.now, day, InstrumentHistory.none())
    parsed = feed.parse(fetch_pages(feed, in_process_api(case), Job("*", day)), context)
    return pl.concat(
        one.rows.select(*(pl.col(c) if c in one.rows.columns else pl.lit(None, t).alias(c) for c, t in SCHEMA.items()))
        for one in parsed
        if one.table == INSTRUMENTS
    )


def rows_by_table(case: VenueCase, feed: Feed, pages: Sequence[Page]) -> Mapping[str, pl.DataFrame]:
    """Distinct rows by table."""
    context = Context(case.venue, case.now, Span.of_days(case.day, case.day), instruments(case.venue))
    tables: dict[str, list[pl.DataFrame]] = {}
    for one in feed.parse(pages, context):
        tables.setdefault(one.table, []).append(one.rows.drop("_line"))
    return {name: pl.concat(frames).unique() for name, frames in tables.items()}


@cache
def pages_of(source: str) -> tuple[Page, ...]:
    """The pages of a day, of two instruments if the feed is fetched by instrument."""
    case, feed = FEEDS[source]
    listed = instruments(case.venue).filter(pl.col("asset").is_in(list(case.assets)))
    subjects: Mapping[str, Mapping[str, Any]] = {"*": {}} if feed.subjects is None else feed.subjects(listed)
    day = Span.of_days(case.day, case.day)
    return tuple(
        page
        for name, row in list(subjects.items())[:2]
        for page in fetch_pages(feed, in_process_api(case), Job(name, day, row))
    )


@pytest.mark.parametrize("source", FEEDS)
@given(data=st.data())
@hypothesis_settings(max_examples=4, deadline=None)
def test_order_and_repetition_of_pages_change_nothing(source: str, data: st.DataObject) -> None:
    case, feed = FEEDS[source]
    pages = pages_of(source)
    places = range(len(pages))
    repeated = data.draw(st.lists(st.sampled_from(places), max_size=3))
    shuffled = [pages[place] for place in data.draw(st.permutations([*places, *repeated]))]
    expected, found = rows_by_table(case, feed, pages), rows_by_table(case, feed, shuffled)
    assert expected.keys() == found.keys()
    assert sum(frame.height for frame in expected.values()) > 0
    for table, frame in expected.items():
        assert_frame_equal(found[table], frame, check_row_order=False, check_exact=True)
