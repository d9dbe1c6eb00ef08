"""DefiLlama: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.core.errors import SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Job, Parsed, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.market_onchain import DEBT_TOKEN, LIQUIDATION_CALL, POOL
from pipelines.sandbox.venues import defillama as emulated
from pipelines.sandbox.venues.evm import ChainMarket, Log
from pipelines.sources.chain import defillama
from pipelines.sources.instruments import InstrumentHistory
from pipelines.sources.registry import with_named
from pipelines.sources.tokens import NATIVE, registered
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.in_process import InProcessApi, fetch_pages, page
from tests.sources.test_evm import FIRST, bring

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)
DAY = Span.of_days(date(2024, 3, 8), date(2024, 3, 8))
WETH = "ethereum:0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
FEED = defillama.VENUE.feed("prices")


def parsed(content: Any, *, subject: str = WETH, span: Span = DAY) -> Parsed:
    payload = page(f"/chart/{subject}", content, subject=subject, at=NOW)
    [one] = FEED.parse([payload], Context("defillama", NOW, span, InstrumentHistory.none()))
    return one


def chart(*points: tuple[int, float], **changes: Any) -> dict[str, Any]:
    prices = [{"timestamp": at, "price": price} for at, price in points]
    return {"coins": {WETH: {"symbol": "WETH", "confidence": 0.99, "decimals": 18, "prices": prices, **changes}}}


def test_a_point_is_a_price_at_its_own_instant_with_the_service_s_confidence() -> None:
    # 1709856182 is 2024-03-08 00:03:02.
    [row] = parsed(chart((1709856182, 3871.25))).rows.to_dicts()
    assert (row["chain"], row["token"]) == ("ethereum", WETH.partition(":")[2])
    assert (row["priced_at"], row["price_usd"]) == (datetime(2024, 3, 8, 0, 3, 2), 3871.25)
    assert (row["decimals"], row["confidence"], row["price_source"]) == (18, 0.99, "defillama")
    assert row["available_at"] == row["priced_at"]


def test_a_token_unknown_to_the_service_has_no_rows() -> None:
    assert parsed({"coins": {}}).rows.is_empty()


def test_decimals_and_confidence_may_be_missing() -> None:
    answer = chart((1709856182, 1.0))
    del answer["coins"][WETH]["decimals"], answer["coins"][WETH]["confidence"]
    assert parsed(answer).rows.select("decimals", "confidence").rows() == [(None, None)]


def test_a_point_returned_for_two_hours_is_one_row_and_points_of_other_days_are_dropped() -> None:
    # 1709855999 is one second before midnight.
    rows = parsed(chart((1709855999, 7.0), (1709856182, 1.0), (1709856182, 1.0))).rows
    assert rows["price_usd"].to_list() == [1.0]


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"message": "x"},
        {"coins": []},
        {"coins": {WETH: {"symbol": "WETH"}}},
        chart((1, 2.0), prices=[{"price": 1}]),
    ],
    ids=["an array", "no coins", "coins an array", "no prices", "a point without a time"],
)
def test_a_response_of_another_shape_is_an_error(content: Any) -> None:
    with pytest.raises(SourceFormatError):
        parsed(content)


def test_a_price_that_is_not_a_number_is_rejected() -> None:
    one = parsed(chart((1709856182, 1.0), (1709859782, "dear")))  # type: ignore[arg-type]
    assert one.rows.height == 1
    assert one.rejects is not None
    assert one.rejects["reason"].to_list() == ["unparsable"]


def test_a_month_is_requested_in_parts_within_the_limit() -> None:
    api = InProcessApi(emulated.ROUTES, MARKET, NOW)
    march = Span.of_days(date(2024, 2, 1), date(2024, 2, 29))
    pages = fetch_pages(FEED, api, Job(WETH, march))
    # 29 days are 696 hours: 480 and 216.
    assert [requested["params"]["span"] for requested in api.requests] == [480, 216]
    [one] = FEED.parse(pages, Context("defillama", NOW, march, InstrumentHistory.none()))
    assert one.rows.height == 696
    assert one.rows["priced_at"].dt.date().n_unique() == 29


def test_a_native_coin_is_requested_by_the_zero_address() -> None:
    assert defillama.coin_of(f"avalanche:{NATIVE}") == "avax:0x" + "0" * 40
    assert defillama.coin_of("bnb:0xab") == "bsc:0xab"


def test_addresses_may_come_back_in_upper_case() -> None:
    api = InProcessApi(emulated.routes(emulated.ResponseBehavior(upper_case=True)), MARKET, NOW)
    [one] = FEED.parse(fetch_pages(FEED, api, Job(WETH, DAY)), Context("defillama", NOW, DAY, InstrumentHistory.none()))
    assert one.rows.height == 24


def test_every_token_an_event_names_is_asked_for_registered_or_not() -> None:
    events = pl.DataFrame(
        {
            "chain": ["ethereum", "arbitrum", "ethereum", "nowhere"],
            # A receipt brings what it stands for; a symbol is looked up.
            "collateral_token": [
                "0x" + "d" * 40,
                "usdc.e",
                "0x4ddc2d193948926d02f9b1fe9e1daa0718270ed5",
                "0x" + "d" * 40,
            ],
            "debt_token": [None, NATIVE, "not registered", None],
        }
    )
    assert set(defillama.named(events)) == {
        "ethereum:0x" + "d" * 40,
        "arbitrum:0xff970a61a04b1ca14834a43f5de4533ebddb5cc8",
        f"arbitrum:{NATIVE}",
        "ethereum:0x4ddc2d193948926d02f9b1fe9e1daa0718270ed5",
        f"ethereum:{NATIVE}",
    }


def test_tokens_of_landed_events_are_asked_for_beside_those_that_price_assets(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    token = "0x" + "d" * 40
    call = Log(
        FIRST + 5, 1, POOL,
        (LIQUIDATION_CALL, *("0x" + "0" * 24 + name[2:] for name in (token, DEBT_TOKEN, "0x" + "7" * 40))),
        "0x" + "".join(f"{number:064x}" for number in (5_000_000, 10**15, 9, 0)),
    )  # fmt: skip
    there, failures, _ = bring(settings, serve, clock, ChainMarket(logs=[call]))
    assert failures == {}
    plain = defillama.subjects(InstrumentHistory.none())
    jobs = with_named(LandingStore(there.root), FEED, lambda span: {name: Job(name, span) for name in plain})
    assert set(jobs(DAY)) == {*plain, f"ethereum:{token}"}
    assert set(jobs(Span.of_days(date(2024, 3, 1), date(2024, 3, 1)))) == {*plain}


def test_a_day_of_prices_matches_the_market_for_every_token_despite_throttling(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    day = date(2024, 3, 8)
    wait = Fault(where="chart", kind="status", status=429, headers={"Retry-After": "0"}, first=5, times=2)
    with serve("defillama", settings=settings, market=MARKET, faults=[wait]) as (_, served):
        [report] = fetch(served, "defillama", first=day, last=day, assets=["ETH"], retry=FAST_RETRY, clock=clock)
    assert report.failures == {}
    [landing] = LandingStore(served.root).current("defillama.prices")
    always = defillama.subjects(InstrumentHistory.none())
    assert set(landing.request["covers"]) == set(always)
    rows = loaded(served, "token_prices", clock=clock)
    assert quarantined(served).is_empty()
    assert rows["trade_date"].unique().to_list() == [day]
    assert rows.group_by("chain", "token").len()["len"].unique().to_list() == [24]
    assert set(rows["chain"] + ":" + rows["token"]) == set(always)
    hours = [datetime(2024, 3, 8) + timedelta(hours=n) for n in range(24)]
    stamps = [emulated.stamp_of(hour, emulated.DEFAULT_BEHAVIOR) for hour in hours]
    wbtc = rows.filter(chain="ethereum", token="0x2260fac5e5542a773aa44fbcfedf7c193bc2c599").sort("priced_at")
    assert wbtc["priced_at"].to_list() == stamps
    assert wbtc["price_usd"].to_list() == emulated.prices_of(MARKET, "BTC", stamps)
    decimals = rows.select("chain", "token", pl.col("decimals").cast(pl.Int64)).unique().sort(pl.all())
    told = registered().filter(pl.format("{}:{}", "chain", "token").is_in([*always]))
    assert decimals.equals(told.select("chain", "token", "decimals").sort(pl.all()))
