"""The order of pages in a landing and repeated pages do not change the result, for every daily feed of every exchange. Nor do
the parts in which they are parsed.

Page sizes, bounds and overlaps are venue-specific and tested with each venue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any, Final

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.errors import SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.venue import Context, Feed, Job, Page, Span
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sources import reading, records, registry
from pipelines.sources.account import Account
from pipelines.sources.instruments import INSTRUMENTS, SCHEMA, InstrumentHistory
from pipelines.sources.reading import read_pages
from pipelines.sources.records import Field, at_path, read_records
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


@cache
def contract() -> Contract:
    return load_contract(Settings.load().schema_dir)


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


@pytest.mark.parametrize("source", FEEDS)
def test_parts_of_the_pages_give_the_rows_of_all_at_once(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a landing whole subjects are parsed at once, and their cells are made into columns a few pages at once."""
    case, feed = FEEDS[source]
    pages = pages_of(source)
    expected = rows_by_table(case, feed, pages)
    monkeypatch.setattr(records, "PART_BYTES", 0)
    each = [[page for page in pages if page.subject == name] for name in dict.fromkeys(page.subject for page in pages)]
    found = [rows_by_table(case, feed, own) for own in each]
    for table, frame in expected.items():
        # Polars divides a column of one row in another way: the last bit may differ.
        assert_frame_equal(pl.concat(one[table] for one in found).unique(), frame, check_row_order=False)


def oi_page(subject: str, *values: Any) -> Page:
    start = 1_781_481_600_000
    rows = [{"openInterest": value, "timestamp": str(start + 300_000 * n)} for n, value in enumerate(values, start=1)]
    request = {"endpoint": "api", "path": "/v5/market/open-interest", "params": {"symbol": subject}}
    return Page(subject, request, 200, datetime(2026, 6, 16), orjson.dumps({"retCode": 0, "result": {"list": rows}}))


def test_records_are_numbered_and_counted_through_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    case, feed = FEEDS["bybit.open_interest"]
    pages = [
        oi_page("BTCUSDT", "1", "2"),
        oi_page("BTCUSDT", "3"),
        oi_page("ETHUSDT", "n/a", "5"),
        oi_page("SOLUSDT", "6"),
    ]
    context = Context(case.venue, case.now, Span.of_days(date(2026, 6, 15), date(2026, 6, 15)), instruments(case.venue))
    for size in (records.PART_BYTES, 0):
        for module in (reading, records):
            monkeypatch.setattr(module, "PART_BYTES", size)
        account = Account()
        parsed = list(read_pages(contract(), feed, pages, context, account))
        lines = [line for one in parsed for line in one.rows["_line"].to_list()]
        rejects = [
            row for one in parsed if one.rejects is not None for row in one.rejects.select("line", "field").rows()
        ]
        assert (lines, rejects) == ([1, 2, 3, 5, 6], [(4, "openInterest")])
        assert (account.total().accepted, account.total().rejected, account.total().received) == (5, 1, 6)
        assert len(parsed) == (1 if size else 3)


def test_a_field_is_retyped_where_no_part_has_a_readable_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "PART_BYTES", 0)
    fields = (Field("openInterest", "oi", float),)
    list_of = at_path("result", "list")
    found = read_records([oi_page("BTCUSDT", "a", "b"), oi_page("BTCUSDT", "3")], list_of, fields)
    assert (found.frame["oi"].to_list(), found.rejects["line"].to_list()) == ([3.0], [1, 2])
    with pytest.raises(SourceFormatError, match="no record has one"):
        read_records([oi_page("BTCUSDT", "a"), oi_page("BTCUSDT", "b")], list_of, fields)
