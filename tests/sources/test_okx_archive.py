"""OKX: the funding archive, whose files of months and days are cut in Hong Kong."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from io import BytesIO
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Context, Job, NotYetPublishedError, Page, Span
from pipelines.sandbox.emulator import Handler, Request, Response
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel
from pipelines.sandbox.venues import okx as emulated
from pipelines.sources.cex.okx import archive as okx_archive
from pipelines.sources.cex.okx import venue as okx
from pipelines.sources.cex.okx import wire
from tests.sources.in_process import InProcessApi, fetch_pages, page, rows
from tests.sources.test_okx import SWAPS, parsed

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)


def archived(
    first: date,
    last: date,
    *,
    instrument: dict[str, Any] | None = None,
    now: datetime = NOW,
    withheld: frozenset[str] = frozenset(),
) -> pl.DataFrame:
    """Rows of the funding files of a span; files with a date of `withheld` in their name are not served."""
    venue_feed = okx.VENUE.feed("funding_archive")
    span = Span.of_days(first, last)
    routes = [
        replace(route, handler=partial(_withhold, handler=route.handler, dates=withheld)) for route in emulated.ROUTES
    ]
    job = Job("BTC-USD-SWAP", span, instrument or {})
    pages = fetch_pages(venue_feed, InProcessApi(routes, MARKET, now), job)
    assert not okx_archive.lacks(pages, job) or withheld
    return rows(list(venue_feed.parse(pages, Context("okx", NOW, span, SWAPS))))


def _withhold(request: Request, market: MarketModel, *, handler: Handler, dates: frozenset[str]) -> Response:
    is_withheld = any(request.path.endswith(f"-{name}.zip") for name in dates)
    return Response(b"", status=404) if is_withheld else handler(request, market)


@pytest.mark.parametrize(("first", "last"), [((2024, 1, 1), (2024, 1, 31)), ((2024, 1, 31), (2024, 1, 31))])
def test_files_cut_in_hong_kong_give_complete_days_of_utc(
    first: tuple[int, int, int], last: tuple[int, int, int]
) -> None:
    """The settlement of 31 January, 16:00 UTC, is in February's file."""
    span = Span.of_days(date(*first), date(*last))
    expected = MARKET.funding(emulated.BY_NAME["BTC-USD-SWAP"], span.start, span.end).select("settled_at", "rate")
    got = archived(date(*first), date(*last)).select("settled_at", "rate").sort("settled_at")
    assert_frame_equal(got, expected)


def test_days_that_no_month_holds_are_read_from_files_of_days() -> None:
    def market(*span: date) -> pl.DataFrame:
        whole = Span.of_days(*span)
        return MARKET.funding(emulated.BY_NAME["BTC-USD-SWAP"], whole.start, whole.end).select("settled_at", "rate")

    january, february = (date(2024, 1, 1), date(2024, 1, 31)), (date(2024, 2, 1), date(2024, 2, 29))
    # The month's own file is missing; the last hours of a month are in a month that has no file yet.
    for span, withheld in ((january, frozenset({"2024-01"})), (february, frozenset[str]())):
        got = archived(*span, withheld=withheld).select("settled_at", "rate").unique().sort("settled_at")
        assert_frame_equal(got, market(*span))
    # A swap that ended on 20 February has no file of March to wait for.
    assert archived(*february, instrument={"delisted_at": datetime(2024, 2, 20)}).height > 0


def test_a_month_is_not_yet_published_while_the_files_of_its_days_are_missing_too() -> None:
    with pytest.raises(NotYetPublishedError):
        archived(date(2024, 2, 1), date(2024, 2, 29), now=datetime(2024, 3, 3))
    with pytest.raises(NotYetPublishedError):
        archived(date(2024, 1, 1), date(2024, 1, 31), withheld=frozenset({"2024-01", "2024-01-10"}))


def test_a_file_on_another_host_is_not_fetched() -> None:
    file = {"filename": "BTC-USD-SWAP-fundingrates-2024-01.zip", "url": "https://example.com/x.zip"}
    listed = page(wire.FILES, {"code": "0", "data": [{"details": [{"groupDetails": [file]}]}]}, subject="*", at=NOW)
    with pytest.raises(SourceFormatError, match=r"not on static\.okx\.com"):
        okx_archive.file_links(listed)


def packed(text: str) -> Page:
    body = BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        archive.writestr("BTC-USDT-SWAP-fundingrates-2024-03.csv", text)
    return Page("BTC-USDT-SWAP", {"endpoint": "files", "path": "/x.zip", "params": {}}, 200, NOW, body.getvalue())


def test_a_file_has_the_rate_paid_and_late_timestamps_are_rounded() -> None:
    # 1710014401000 is 2024-03-09 20:00:01 UTC.
    [plain] = parsed(
        "funding_archive", packed("instrument_name,funding_rate,funding_time\nBTC-USDT-SWAP,-0.0001,1710014401000\n")
    )
    assert plain.rows.select("settled_at", "rate").rows() == [(datetime(2024, 3, 9, 20), -0.0001)]
    translated = "\ufeffinstrument_name/合约,funding_rate/费率,real_funding_rate/实收,funding_time/时间\n"
    [paid] = parsed("funding_archive", packed(f"{translated}BTC-USDT-SWAP,-0.0001,-0.0002,1710014401000\n"))
    assert paid.rows["rate"].to_list() == [-0.0002]


@pytest.mark.parametrize("text", ["instrument,rate,time\n", "instrument,rate,time\nBTC-USDT-SWAP,1,2\n"])
def test_a_file_with_other_columns_is_an_error(text: str) -> None:
    with pytest.raises(SourceFormatError, match=r"columns|instrument_name"):
        parsed("funding_archive", packed(text))


# Any response behavior
