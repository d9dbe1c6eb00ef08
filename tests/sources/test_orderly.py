"""Orderly: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError
from pipelines.core.settings import Settings
from pipelines.core.universe import parse_symbol
from pipelines.extract.venue import Context, Job, Page, Parsed, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import orderly as emulated
from pipelines.sources.dex import orderly
from pipelines.sources.instruments import InstrumentHistory
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.in_process import InProcessApi, fetch_pages, page, rows

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)
DAY = Span.of_days(date(2024, 3, 9), date(2024, 3, 9))
LIQUIDATION = "/v1/public/liquidated_positions"


def recorded(samples_dir: Path) -> dict[str, Any]:
    path = samples_dir / "onchain" / "orderly" / "public_liquidation_doc_sample.json"
    answer: dict[str, Any] = orjson.loads(path.read_bytes())["response"]
    return answer


def parsed(content: dict[str, Any], span: Span) -> Parsed:
    payload = page(LIQUIDATION, content, subject="*", at=NOW)
    context = Context("orderly", NOW, span, InstrumentHistory.none())
    [one] = orderly.VENUE.feed("liquidations").parse([payload], context)
    return one


MAY = Span.of_days(date(2023, 5, 28), date(2023, 5, 28))


def test_a_negative_quantity_was_a_short_and_has_no_price(samples_dir: Path) -> None:
    event = parsed(recorded(samples_dir), MAY).rows.row(0, named=True)
    assert (event["liquidation_id"], event["instrument"], event["side"]) == (
        "1730:1685298157704:PERP_BTC_USDC:0",
        "PERP_BTC_USDC",
        "short",
    )
    # 1685298157704
    assert event["occurred_at"] == datetime(2023, 5, 28, 18, 22, 37, 704_000)
    assert (event["quantity_base"], event["price"], event["notional_usd"]) == (0.22457, None, None)
    assert (event["completeness"], event["is_adl"]) == ("full", False)


def test_a_liquidation_is_as_many_rows_as_it_closed_positions(samples_dir: Path) -> None:
    answer = recorded(samples_dir)
    [row] = answer["data"]["rows"]
    ether = {"symbol": "PERP_ETH_USDC", "position_qty": 3.5, "liquidator_fee": 0.015}
    row["positions_by_perp"] += [ether, ether]
    events = parsed(answer, MAY).rows
    assert events["side"].to_list() == ["short", "long", "long"]
    assert events["liquidation_id"].n_unique() == 3


NOTHING: dict[str, Any] = {"positions_by_perp": [{"symbol": "PERP_BTC_USDC", "position_qty": 0}]}


@pytest.mark.parametrize(
    ("change", "reasons"), [({"type": "claim"}, []), ({"type": "gifted"}, ["undecodable"]), (NOTHING, ["undecodable"])]
)
def test_other_types_give_no_row(samples_dir: Path, change: dict[str, Any], reasons: list[str]) -> None:
    answer = recorded(samples_dir)
    answer["data"]["rows"][0] |= change
    events = parsed(answer, MAY)
    assert events.rows.is_empty()
    assert events.rejects is not None
    assert events.rejects["reason"].to_list() == reasons


def test_names_are_read_by_a_rule() -> None:
    facts = parse_symbol("orderly", "PERP_1000PEPE_USDC")
    assert facts is not None
    assert (facts.asset, facts.multiplier, facts.quote, facts.contract_type) == ("PEPE", 1000.0, "USDC", "linear")
    assert parse_symbol("orderly", "SPOT_BTC_USDC") is None


def test_the_server_clock_is_ignored_in_digests_and_row_timestamps_are_not(samples_dir: Path) -> None:
    answer = recorded(samples_dir)
    ignored_in_digest = orderly.VENUE.ignored_in_digest
    assert ignored_in_digest is not None
    for body in (answer, {"success": True, "timestamp": 1, "data": answer["data"]}):
        left = ignored_in_digest.sub(b"", orjson.dumps(body))
        assert b"1685298157704" in left
        assert left.count(b"timestamp") == 1


def test_errors_are_classified() -> None:
    with pytest.raises(ThrottledError):
        orderly.check(page("/x", emulated.error(-1003, "Rate limit exceed").body, subject="*", at=NOW))
    with pytest.raises(RequestRefusedError, match="-1104"):
        orderly.check(page("/x", emulated.error(-1104, "parameter").body, subject="*", at=NOW))


def expected_liquidations(market: AnalyticMarket, span: Span) -> pl.DataFrame:
    return pl.concat(
        market.liquidations(listing, span.start, span.end).select(
            pl.lit(listing.instrument).alias("instrument"), "occurred_at", "side",
            (pl.col("quantity_base") / listing.multiplier).alias("quantity_base"),
        )
        for listing in emulated.LISTINGS
    ).sort("instrument", "occurred_at")  # fmt: skip


def test_days_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    span = Span.of_days(date(2024, 3, 8), date(2024, 3, 9))
    throttled = Fault("liquidation", "body", body=emulated.error(-1003, "Rate limit exceed").body)
    with serve("orderly", settings=settings, faults=[throttled]) as (_, served):
        reports = fetch(
            served,
            "orderly",
            first=date(2024, 3, 8),
            last=date(2024, 3, 9),
            assets=["BTC"],
            retry=FAST_RETRY,
            clock=clock,
        )
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    events = loaded(served, "liquidations", clock=clock)
    expected = expected_liquidations(MARKET, span)
    assert_frame_equal(events.select(expected.columns).sort("instrument", "occurred_at"), expected)
    assert events["price"].null_count() == events["notional_usd"].null_count() == 0
    gap = (pl.col("notional_usd") - pl.col("price") * pl.col("quantity_base")).abs()
    assert events.filter(gap > 1e-3).is_empty()
    instruments = loaded(served, "instruments", clock=clock)
    assert dict(instruments.select("instrument", "multiplier").rows())["PERP_1000PEPE_USDC"] == 1000.0
    assert quarantined(served).is_empty()


BEHAVIORS = st.builds(
    emulated.ResponseBehavior, most=st.integers(4, 30), newest_first=st.booleans(), inclusive=st.booleans()
)


@given(behavior=BEHAVIORS, minutes=st.integers(20, 90))
@hypothesis_settings(max_examples=8, deadline=None)
def test_every_position_comes_once_whatever_the_pages(behavior: emulated.ResponseBehavior, minutes: int) -> None:
    market, feed = AnalyticMarket(liquidation_minutes=minutes), orderly.VENUE.feed("liquidations")
    pages = fetch_pages(feed, InProcessApi(emulated.routes(behavior), market, NOW), Job("*", DAY))
    got = rows(list(feed.parse([*pages, *pages[:1]], Context("orderly", NOW, DAY, InstrumentHistory.none()))))
    expected = expected_liquidations(market, DAY)
    assert_frame_equal(got.select(expected.columns).sort("instrument", "occurred_at"), expected)


@pytest.mark.parametrize("reach", [1_000_000, 500])
def test_a_total_that_saturates_ends_nothing(reach: int) -> None:
    market = AnalyticMarket(liquidation_minutes=2)
    behavior = emulated.ResponseBehavior(most=100, reach=reach)
    api = InProcessApi(emulated.routes(behavior), market, NOW)
    feed = orderly.VENUE.feed("liquidations")
    pages = fetch_pages(feed, api, Job("*", DAY))
    got = rows(list(feed.parse(pages, Context("orderly", NOW, DAY, InstrumentHistory.none()))))
    assert got.height == expected_liquidations(market, DAY).height > 500
    assert max(orderly.total_of(page) for page in pages) == 500


def test_pages_that_repeat_are_an_error_and_not_the_end() -> None:
    class First(InProcessApi):
        async def get(self, path: str, **options: Any) -> Page:
            return await super().get(path, **options | {"params": {**options["params"], "page": 1}})

    with pytest.raises(SourceFormatError, match="no new rows"):
        fetch_pages(
            orderly.VENUE.feed("liquidations"),
            First(emulated.routes(emulated.ResponseBehavior(most=5)), MARKET, NOW),
            Job("*", DAY),
        )
