"""Risk limits of every venue that publishes them: from its emulator, and from answers in its real shape, to clean.risk_tiers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import orjson
import polars as pl
import pytest
from polars import selectors
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError
from pipelines.extract.venue import Job, Span
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA
from pipelines.sources.risk_tiers import RISK_TIERS
from tests.sources.expected import Window
from tests.sources.in_process import InProcessApi, context, fetch_pages, rows
from tests.sources.test_evidence import contract, evidence, parsed
from tests.sources.venue_case import FeedCase, VenueCase
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
def test_the_tiers_of_every_instrument_are_read(case: VenueCase, feed_case: FeedCase) -> None:
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


BITCOIN_AT: Final = {
    "okx": contract("okx", "BTC-USDT-SWAP", contract_type="linear", contract_size=0.01, contract_size_unit="base",
                    quote="USDT", multiplier=1.0),
    "gate": contract("gate", "BTC_USDT", contract_type="linear", quote="USDT", multiplier=1.0),
    "bitget": contract("bitget", "BTCUSDT", contract_type="linear", quote="USDT", multiplier=1.0),
}  # fmt: skip
MARGIN: Final = ("tier", "max_leverage", "initial_margin_rate", "maintenance_margin_rate", "maintenance_deduction")
BOUNDS: Final = ("lower_bound", "upper_bound", "bound_unit", "lower_bound_usd", "upper_bound_usd", "upper_bound_base")


def tiers_of(venue: str, case: str, instruments: pl.DataFrame, *, subject: str = "*") -> pl.DataFrame:
    [found] = parsed(venue, RISK_TIERS, evidence(venue, RISK_TIERS, case, subject=subject), instruments=instruments)
    assert found.rejects is not None and found.rejects.is_empty()
    return found.rows.sort("instrument", "schedule", "tier")


def test_bybit_numbers_tiers_by_size_and_its_rates_are_fractions() -> None:
    known = contract("bybit", "ADAUSDT", contract_type="linear", quote="USDT", multiplier=1.0)
    found = tiers_of("bybit", "linear", known, subject="ADAUSDT")
    assert found.select(MARGIN).rows() == [(1, 75.0, 0.0133, 0.01, 0.0), (2, 50.0, 0.02, 0.015, 1000.0)]
    assert found.select(BOUNDS).rows() == [
        (0.0, 200_000.0, "quote", 0.0, 200_000.0, None), (200_000.0, 1_000_000.0, "quote", 200_000.0, 1_000_000.0, None),
    ]  # fmt: skip


def test_the_pages_of_a_table_are_one_snapshot() -> None:
    known = contract("bybit", "ADAUSDT", contract_type="linear", quote="USDT", multiplier=1.0)
    whole = evidence("bybit", RISK_TIERS, "linear", subject="ADAUSDT")
    second, first = whole.json()["result"]["list"]
    pages = [
        replace(whole, body=orjson.dumps({"retCode": 0, "result": {"list": [tier]}}), received_at=at)
        for tier, at in ((first, NOW), (second, NOW + timedelta(milliseconds=13)))
    ]
    [found] = parsed("bybit", RISK_TIERS, *pages, instruments=known)
    assert found.rows.sort("tier").select("tier", "lower_bound", "snapshot_at").rows() == [
        (1, 0.0, NOW + timedelta(milliseconds=13)), (2, 200_000.0, NOW + timedelta(milliseconds=13)),
    ]  # fmt: skip


def test_bybit_states_inverse_limits_in_coin_and_rates_in_percent() -> None:
    known = contract("bybit", "BTCUSD", contract_type="inverse", contract_size=1.0, contract_size_unit="usd", quote="USD",
                     multiplier=1.0)  # fmt: skip
    found = tiers_of("bybit", "inverse", known, subject="BTCUSD")
    assert found.select(MARGIN).rows() == [(1, 100.0, 0.01, 0.005, 0.0), (2, 66.67, 0.015, 0.01, None)]
    assert found.select(BOUNDS).rows() == [
        (0.0, 150.0, "base", None, None, 150.0),
        (150.0, 300.0, "base", None, None, 300.0),
    ]


@pytest.mark.parametrize(
    ("venue", "case", "margin", "bounds"),
    [
        ("okx", "contracts", (2, 75.0, 0.0133, 0.005, None), (1001.0, 4000.0, "contracts", None, None, 40.0)),
        ("gate", "linear", (2, 100.0, 0.01, 0.004, 20.0), (20_000.0, 1e6, "quote", 20_000.0, 1e6, None)),
        ("bitget", "levels", (2, 100.0, None, 0.005, None), (150_000.0, 6e5, "quote", 150_000.0, 6e5, None)),
    ],
)
def test_the_second_tier_of_bitcoin(
    venue: str, case: str, margin: tuple[object, ...], bounds: tuple[object, ...]
) -> None:
    known = BITCOIN_AT[venue]
    found = tiers_of(venue, case, known, subject=known["instrument"][0]).filter(tier=2)
    assert found.select(MARGIN).row(0) == margin
    assert found.select(BOUNDS).row(0) == bounds


def test_hyperliquid_maintenance_is_half_and_deductions_follow_from_the_bounds() -> None:
    facts = {"contract_type": "linear", "quote": "USDC", "multiplier": 1.0}
    known = pl.concat(contract("hyperliquid", name, **facts) for name in ("BTC", "SOL", "MATIC", "xyz:TSLA"))
    found = tiers_of("hyperliquid", "margin_tables", known)
    assert found.select("instrument", "lower_bound_usd", "upper_bound_usd", "max_leverage").rows() == [
        ("BTC", 0.0, 150e6, 40.0), ("BTC", 150e6, None, 20.0), ("SOL", 0.0, 70e6, 20.0), ("SOL", 70e6, None, 10.0),
        ("xyz:TSLA", 0.0, None, 10.0),
    ]  # fmt: skip
    assert found["maintenance_margin_rate"].to_list() == [0.0125, 0.025, 0.025, 0.05, 0.05]
    assert found["maintenance_deduction"].to_list() == pytest.approx([0, 150e6 * 0.0125, 0, 70e6 * 0.025, 0])


def test_a_contract_of_edgex_without_tiers_is_rejected_and_leaves_the_others() -> None:
    known = contract("edgex", "BTCUSDC", contract_type="linear", quote="USDC", multiplier=1.0)
    [found] = parsed("edgex", RISK_TIERS, evidence("edgex", RISK_TIERS, "meta"), instruments=known)
    assert found.rows.select(MARGIN).rows() == [(1, 100.0, None, 0.005, None), (2, 90.0, None, 0.006, None)]
    assert found.rows.select("lower_bound_usd", "upper_bound_usd").rows() == [(0.0, 50_000.0), (50_000.0, 100_000.0)]
    assert found.rejects is not None and found.rejects["line"].to_list() == [3]


def test_kraken_keeps_the_tables_of_retail_clients_apart() -> None:
    linear = {
        "contract_type": "linear",
        "contract_size": 1.0,
        "contract_size_unit": "base",
        "quote": "USD",
        "multiplier": 1.0,
    }
    inverse = {**linear, "contract_type": "inverse", "contract_size_unit": "usd"}
    known = pl.concat(
        contract("kraken", name, **facts)
        for name, facts in (("PF_XBTUSD", linear), ("PF_ETHUSD", linear), ("PI_XBTUSD", inverse))
    )
    found = tiers_of("kraken", "mixed_list", known)
    columns = ("instrument", "schedule", "lower_bound_usd", "upper_bound_usd", "bound_unit", "max_leverage")
    assert found.select(columns).rows() == [
        ("PF_ETHUSD", "europa.retail", 0.0, None, "quote", 10.0),
        ("PF_XBTUSD", "default", 0.0, 500_000.0, "quote", 50.0),
        ("PF_XBTUSD", "default", 500_000.0, None, "quote", 25.0),
        ("PI_XBTUSD", "default", 0.0, 500_000.0, "contracts", 50.0),
        ("PI_XBTUSD", "default", 500_000.0, None, "contracts", 25.0),
        ("PI_XBTUSD", "retail", 0.0, None, "contracts", 2.0),
    ]


@pytest.mark.parametrize(
    ("venue", "case"),
    [("bybit", "unknown_symbol"), ("okx", "unknown_family"), ("gate", "unknown_contract"), ("bitget", "refused")],
)
def test_a_contract_that_is_gone_is_refused(venue: str, case: str) -> None:
    with pytest.raises(RequestRefusedError):
        registry.venue(venue).check(evidence(venue, RISK_TIERS, case))
