"""Hyperliquid's liquidations from fills: parsing of recorded fills, deduplication of trades, and both sources over HTTP."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.core.errors import SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import hyperliquid_fills as emulated
from pipelines.sources.chain.portal import BlockRange
from pipelines.sources.dex.hyperliquid import fills as source
from pipelines.sources.instruments import InstrumentHistory
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined

NOW = datetime(2025, 11, 3, 6)
DAY = date(2025, 11, 1)


def page(*lines: dict[str, Any], endpoint: str = "node") -> Page:
    body = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    return Page("*", {"endpoint": endpoint, "path": "/x"}, 200, NOW, body)


def parsed(*pages: Page) -> Parsed:
    context = Context(source.NAME, NOW, Span.of_days(DAY, DAY), InstrumentHistory.none())
    [one] = source.VENUE.feed("liquidations").parse(pages, context)
    return one


def sampled(samples_dir: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(
        (samples_dir / "onchain" / "hyperliquid" / "fills_with_liquidation.json").read_bytes()
    )
    return found


def block(*events: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"block_time": "2025-11-01T00:00:00", "block_number": 1, "events": list(events)}


def mirrored(fill: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The counterparty's fill of the same trade."""
    return {**fill, "side": "B" if fill["side"] == "A" else "A", "crossed": not fill["crossed"], **changes}


COLUMNS = ("liquidation_id", "instrument", "occurred_at", "side", "price", "quantity_base", "completeness", "is_adl")


def test_a_makers_fill_of_a_book_liquidation_gives_the_opposite_side(samples_dir: Path) -> None:
    # The maker sold 0.58 SOL, so the liquidated user bought: a short was closed. 1,782,636,233,257 ms.
    one = parsed(page(sampled(samples_dir)[0]["line"]))
    at = datetime(2026, 6, 28, 8, 43, 53, 257_000)
    assert one.rows.select(COLUMNS).rows() == [
        ("1782636233257:SOL:340554939716632", "SOL", at, "short", 72.153, 0.58, "full", False)
    ]
    # 72.153 × 0.58
    assert one.rows["notional_usd"].to_list() == [pytest.approx(41.84874)]
    assert one.rows.select("venue", "venue_kind").rows() == [("hyperliquid", "perp_dex")]


def test_a_deleveraged_traders_fill_gives_the_bankrupt_position(samples_dir: Path) -> None:
    # His short of 28.53 AVAX was bought back from the liquidated user, who sold: a long was closed.
    one = parsed(page(sampled(samples_dir)[1]["line"]))
    at = datetime(2025, 10, 10, 21, 16, 4, 831_000)
    assert one.rows.select(COLUMNS).rows() == [
        ("1760130964831:AVAX:771334864158847", "AVAX", at, "long", 22.075, 28.53, "full", True)
    ]


def test_a_backstop_takeover_names_the_side_of_the_position(samples_dir: Path) -> None:
    # The vault's fill: it bought a long position. The sample omits some fields.
    fill = {**sampled(samples_dir)[2]["fill"], "tid": 9, "closedPnl": "0.0"}
    one = parsed(page(block(("0xvault", fill))))
    assert one.rows.select("side", "quantity_base", "is_adl").rows() == [("long", 28.33, False)]


@pytest.mark.parametrize("number", [0, 1], ids=["market", "adl"])
def test_a_fill_seen_from_both_sides_is_counted_once(samples_dir: Path, number: int) -> None:
    line = sampled(samples_dir)[number]["line"]
    [[user, fill]] = line["events"]
    direction = "Close Short" if number == 0 else "Liquidated Cross Long"
    own = [
        fill["liquidation"]["liquidatedUser"].upper().replace("0X", "0x"),
        mirrored(fill, dir=direction, closedPnl="-9.0"),
    ]
    alone = parsed(page(line)).rows.drop("_line")
    for events in permutations(([user, fill], own)):
        both = parsed(page({**line, "events": list(events)}))
        assert_frame_equal(both.rows.drop("_line"), alone)
    # In two blocks of the file, and once more on another page.
    again = parsed(page(line, {**line, "events": [own]}), page(line))
    assert_frame_equal(again.rows.drop("_line"), alone)
    # The liquidated user's own fill gives the same, except whether the counterparty was deleveraged.
    assert_frame_equal(parsed(page({**line, "events": [own]})).rows.drop("_line", "is_adl"), alone.drop("is_adl"))


def test_a_liquidation_that_takes_three_orders_is_three_trades(samples_dir: Path) -> None:
    [[_, fill]] = sampled(samples_dir)[0]["line"]["events"]
    victim = fill["liquidation"]["liquidatedUser"]
    trades = [{**fill, "tid": tid, "sz": f"{tid}.0"} for tid in (1, 2, 3)]
    events = [
        (user, one) for trade in trades for user, one in (("0xm", trade), (victim, mirrored(trade, dir="Close Short")))
    ]
    assert parsed(page(block(*events))).rows["quantity_base"].to_list() == [1.0, 2.0, 3.0]


def portal_fill(**changes: Any) -> dict[str, Any]:
    return {
        "fillIndex": 0, "user": "0xa", "coin": "BTC", "px": 110_000.5, "sz": 0.25, "side": "A", "time": 1_762_000_000_000,
        "startPosition": 0.25, "dir": "Liquidated Isolated Long", "closedPnl": -100.0, "hash": "0x0", "tid": 7, **changes,
    }  # fmt: skip


def streamed(*fills: dict[str, Any]) -> Page:
    return page({"header": {"number": 1, "timestamp": 1}, "fills": list(fills)}, endpoint="portal")


def test_the_portal_gives_the_side_by_direction_and_omits_book_liquidations() -> None:
    fills = [portal_fill(), portal_fill(user="0xb", side="B"), portal_fill(dir="Close Long", tid=8)]
    one = parsed(streamed(*fills))
    assert one.rows.select("side", "price", "completeness").rows() == [("long", 110_000.5, "sampled")]


def test_of_two_deleveraged_fills_the_one_with_a_loss_is_bankrupt() -> None:
    # Who gained 5 bought back a short; who lost was long.
    winner = portal_fill(user="0xw", side="B", dir="Auto-Deleveraging", closedPnl=5.0, startPosition=-0.25)
    loser = portal_fill(user="0xl", side="A", dir="Auto-Deleveraging", closedPnl=-5.0)
    for fills in permutations((winner, loser)):
        assert parsed(streamed(*fills)).rows.select("side", "is_adl").rows() == [("long", True)]


def test_a_takeover_with_a_deleveraged_trader_is_auto_deleveraging_once() -> None:
    fills = [portal_fill(), portal_fill(user="0xw", side="B", dir="Auto-Deleveraging", closedPnl=5.0)]
    assert parsed(streamed(*fills)).rows.select("side", "is_adl").rows() == [("long", True)]


def test_contradicting_fills_and_foreign_instruments_are_rejected(samples_dir: Path) -> None:
    [[user, fill]] = sampled(samples_dir)[0]["line"]["events"]
    victim = fill["liquidation"]["liquidatedUser"]
    one = parsed(
        page(
            block(
                (victim, {**fill, "side": "A", "dir": "Liquidated Cross Short"}), (user, {**fill, "tid": 2, "coin": "xyz:TSLA"}),
                (user, {**fill, "tid": 3, "coin": "@107"}), (user, {**fill, "tid": 4, "side": "X"}),
            )
        )
    )  # fmt: skip
    # A perpetual that others deployed is one, in the list with its class.
    assert one.rows["instrument"].to_list() == ["xyz:TSLA"]
    assert one.rejects is not None
    assert sorted(one.rejects.select("reason", "instrument").rows()) == [
        ("undecodable", "SOL"), ("undecodable", "SOL"), ("unknown_instrument", "@107"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", [{"events": [["0xa"]]}, {"events": [["0xa", {"px": "1"}]]}, {"events": None}, {}])
def test_a_block_of_another_shape_is_an_error(line: dict[str, Any]) -> None:
    with pytest.raises(SourceFormatError, match="not as documented"):
        parsed(page(line))


def test_the_query_is_that_of_the_sample(samples_dir: Path) -> None:
    wanted = orjson.loads((samples_dir / "onchain" / "sqd" / "hyperliquid_fills_query.json").read_bytes())
    requested = source.query(BlockRange(wanted["fromBlock"], wanted["toBlock"]))
    assert (requested["type"], requested["fills"][0].keys()) == (wanted["type"], wanted["fills"][0].keys())
    assert set(requested["fills"][0]["dir"]) == set(wanted["fills"][0]["dir"])
    assert set(requested["fields"]["fill"]) <= set(wanted["fields"]["fill"])
    assert requested["fields"]["block"] == wanted["fields"]["block"]


def test_the_emulator_writes_fills_like_the_sample(samples_dir: Path) -> None:
    [[_, fill]] = sampled(samples_dir)[0]["line"]["events"]
    row = emulated.forced(AnalyticMarket(), NOW, NOW + timedelta(hours=3)).row(0, named=True)
    for _, event in emulated.fills(row):
        # Only orders that were given one have a cloid.
        assert {key: type(value) for key, value in fill.items() if key != "cloid"} == {
            key: type(value) for key, value in event.items()
        }


def test_a_hundred_thousand_fills_are_read_in_seconds(samples_dir: Path) -> None:
    [[user, fill]] = sampled(samples_dir)[0]["line"]["events"]
    own = mirrored(fill, dir="Close Short")
    lines = [
        block((user, {**fill, "tid": n}), (fill["liquidation"]["liquidatedUser"], {**own, "tid": n}))
        for n in range(50_000)
    ]
    one = page(*lines)
    started = time.process_time()
    assert parsed(one).rows.height == 50_000
    assert time.process_time() - started < 10


# Over HTTP


def expected_liquidations(*kinds: str) -> pl.DataFrame:
    """The market's liquidations of the day of these kinds."""
    start = datetime(2025, 11, 1)
    return (
        emulated.forced(AnalyticMarket(), start, start + timedelta(days=1))
        .filter(pl.col("kind").is_in(kinds))
        .select("instrument", "occurred_at", "side", "price", "quantity_base", is_adl=pl.col("kind") == "adl")
        .sort("instrument", "occurred_at")
    )


@pytest.mark.parametrize("endpoint", ["portal", "node"])
def test_a_day_over_http_has_every_forced_close_of_the_source(
    settings: Settings, serve: Serve, clock: Clock, endpoint: str
) -> None:
    clock.now = NOW
    faults = [
        Fault("finalized-stream", "status", status=503, headers={"Retry-After": "0"}),
        Fault("finalized-stream", "truncated", first=3),
        Fault(".node/20251101/7", "reset"),
    ]
    with serve(source.NAME, settings=settings, faults=faults) as (emulator, served):
        kept = {k: v for k, v in served.endpoints.items() if k == f"{source.NAME}.{endpoint}"}
        served = served.model_copy(update={"endpoints": kept})
        [report] = fetch(served, source.NAME, first=DAY, last=DAY, assets=["BTC"], retry=FAST_RETRY, clock=clock)
    assert dict(report.failures) == {}
    # 864,000 blocks by streams of 300,000: three, and two that were lost.
    assert len([hit for hit in emulator.hits if "stream" in hit.where]) == (5 if endpoint == "portal" else 0)
    found = loaded(served, "liquidations", clock=clock)
    assert set(found["completeness"]) == {"sampled" if endpoint == "portal" else "full"}
    expected = (
        expected_liquidations("backstop", "adl")
        if endpoint == "portal"
        else expected_liquidations("market", "backstop", "adl")
    )
    assert expected.height > 30
    assert_frame_equal(found.select(expected.columns).sort("instrument", "occurred_at"), expected)
    assert quarantined(served).is_empty()


def test_a_day_without_its_last_hour_is_not_yet_published(settings: Settings, serve: Serve, clock: Clock) -> None:
    clock.now = datetime(2025, 11, 2, 7)
    missing = Fault(".node/20251101/23", "status", status=404, times=9)
    with serve(source.NAME, settings=settings, faults=[missing]) as (_, served):
        fetch(served, source.NAME, first=DAY, last=DAY, assets=["BTC"], retry=FAST_RETRY, clock=clock)
    [landing] = LandingStore(settings.root).all(f"{source.NAME}.liquidations")
    assert landing.completeness == "not_yet_published"
