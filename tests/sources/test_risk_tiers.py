"""Risk limits of every venue that publishes them: from its emulator, and from answers in its real shape, to clean.risk_tiers."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl
import pytest
from polars import selectors
from polars.testing import assert_frame_equal

from pipelines.extract.venue import Job, Span
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA
from pipelines.sources.risk_tiers import RISK_TIERS
from tests.sources.expected import Window
from tests.sources.in_process import InProcessApi, context, fetch_pages, rows
from tests.sources.venue_cases import VENUE_CASES

NOW: Final = datetime(2026, 7, 3, 6)
CASES: Final = [
    (case, feed_case) for case in VENUE_CASES for feed_case in case.captured if feed_case.feed == RISK_TIERS
]


def listed(listings: list[Listing]) -> pl.DataFrame:
    facts = (
        "venue",
        "instrument",
        "asset",
        "quote",
        "contract_type",
        "contract_size",
        "contract_size_unit",
        "multiplier",
    )
    return pl.DataFrame(
        [{**dict.fromkeys(SCHEMA), **{name: getattr(x, name) for name in facts}} for x in listings], schema=SCHEMA
    )


def test_every_venue_with_risk_limits_has_a_case() -> None:
    venues = {name for name in registry.VENUES for feed in registry.venue(name).feeds if feed.name == RISK_TIERS}
    assert {case.venue for case, _ in CASES} == venues
    assert venues >= {"bybit", "okx", "gate", "bitget", "hyperliquid", "kraken"}


@pytest.mark.parametrize(("case", "feed_case"), CASES, ids=[case.venue for case, _ in CASES])
def test_the_tiers_of_every_instrument_are_read(case, feed_case) -> None:  # type: ignore[no-untyped-def]
    venue, market = registry.venue(case.venue), AnalyticMarket()
    feed = venue.feed(RISK_TIERS)
    chosen = [x for x in case.listings if feed_case.of(x)]
    instruments = listed(chosen)
    routes = case.routes(case.listings) if case.routes else case.emulated.ROUTES
    api = InProcessApi(routes, market, NOW)
    span = Span(datetime(2026, 7, 3), datetime(2026, 7, 4))
    subjects = {"*": {}} if feed.subjects is None else feed.subjects(instruments)
    pages = [page for name, row in subjects.items() for page in fetch_pages(feed, api, Job(name, span, row))]
    found = rows(list(feed.parse(pages, context(case.venue, instruments, at=NOW))))
    window = Window(span.start, span.end, NOW)
    expected = pl.concat(
        feed_case.rows(market, x, window).select(pl.lit(x.instrument).alias("instrument"), pl.all()) for x in chosen
    )
    keys = expected.select(~selectors.float()).columns
    assert_frame_equal(found.select(expected.columns).sort(keys), expected.sort(keys), rel_tol=1e-12)
    assert found["available_at"].unique().to_list() == [NOW]
