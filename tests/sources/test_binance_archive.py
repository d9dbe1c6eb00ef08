"""Binance's archives over HTTP and from a mirror: verification, completeness, restatements, late and missing files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.core.errors import SourceFormatError, VenueUnavailableError
from pipelines.core.settings import Settings
from pipelines.extract.fetch import FetchReport, plan_days
from pipelines.extract.landing import LandingStore
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.sandbox.venues import binance_archive as emulated
from pipelines.sources import registry
from pipelines.sources.cex.binance_archive import wire as binance_files
from pipelines.storage.warehouse import writer
from tests.sources.binance_fixture import landed
from tests.sources.conftest import FAST_RETRY, Clock, Serve, landings, loaded, quarantined

MARKET = AnalyticMarket()
FIRST, LAST = date(2024, 3, 5), date(2024, 3, 7)
START, END = datetime(2024, 3, 5), datetime(2024, 3, 8)
FIVE = timedelta(minutes=5)


def fetch_feed(
    settings: Settings, feed: str, clock: Clock, *, first: date = FIRST, last: date = LAST, again: bool = False
) -> FetchReport:
    reports = fetch(
        settings, "binance_archive", [feed], first=first, last=last, assets=["BTC", "PEPE", "AVAX"], again=again,
        retry=FAST_RETRY, clock=clock,
    )  # fmt: skip
    return reports[-1]


def market_oi(name: str, start: datetime = START, end: datetime = END) -> pl.DataFrame:
    listing = emulated.BY_NAME[name]
    expected = MARKET.open_interest(listing, 5, start + FIVE, end + FIVE)
    return expected.select("event_at", pl.col("oi_base") / listing.multiplier, "oi_usd")


def covers(report: FetchReport) -> Mapping[str, str]:
    return dict(report.landings[0].request["covers"])


# Over HTTP


def test_metrics_over_http_match_the_market_after_loading(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        assert dict(fetch_feed(served, "um_metrics", clock).failures) == {}
        got = loaded(served, "open_interest", clock=clock)
        # Scaled instrument: its unit is a thousand coins; its value in dollars is unaffected.
        for name in ("BTCUSDT", "1000PEPEUSDT"):
            matching = got.filter(instrument=name).sort("event_at").select("event_at", "oi_base", "oi_usd")
            assert_frame_equal(matching, market_oi(name))
        assert set(got["trade_date"]) == {FIRST, date(2024, 3, 6), LAST}
        with writer(served, what="test") as con:
            ratios = con.sql(
                "select event_at, ratio from clean.long_short_ratios "
                "where instrument = 'BTCUSDT' and measure = 'position_top' order by event_at"
            ).pl()
            coverage = con.sql("select distinct venue, series, status from ops.coverage order by all").fetchall()
        expected = MARKET.ratios(emulated.BY_NAME["BTCUSDT"], "position_top", 5, START + FIVE, END + FIVE)
        assert_frame_equal(ratios, expected)
        assert {status for _, _, status in coverage} == {"complete"}
        assert {venue for venue, _, _ in coverage} == {"binance"}


def test_doubled_liquidations_are_loaded_once_and_their_days_are_called_partial(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        fetch_feed(served, "cm_liquidations", clock)
        got = loaded(served, "liquidations", clock=clock).sort("occurred_at")
        expected = MARKET.liquidations(emulated.BY_NAME["BTCUSD_PERP"], START, END)
        columns = ["occurred_at", "side", "price"]
        assert_frame_equal(got.select(columns), expected.select(columns))
        # The emulated quantity is a number of contracts here, of 100 dollars each.
        assert got["notional_usd"].to_list() == (expected["quantity_base"] * 100).to_list()
        with writer(served, what="test") as con:
            statuses = con.sql(
                "select distinct status, detail from ops.coverage where table_name = 'liquidations'"
            ).fetchall()
            counted = con.execute(
                "select sum(received), sum(accepted), sum(duplicates) from ops.loads where table_name = 'liquidations'"
            ).fetchone()
        assert statuses == [("partial", "COIN-M only, and at most one liquidation per symbol and second")]
        assert counted == (2 * expected.height, expected.height, expected.height)


@pytest.mark.parametrize(
    ("feed", "name", "market"),
    [
        ("um_candles", "1000PEPEUSDT", "perp"), ("cm_candles", "BTCUSD_PERP", "perp"), ("spot_candles", "BTC/USDT", "spot"),
        ("um_mark_candles", "BTCUSDT", "mark"), ("um_index_candles", "BTCUSDT", "index"),
        ("cm_mark_candles", "BTCUSD_PERP", "mark"),
    ],
)  # fmt: skip
def test_candles_over_http_match_the_market(
    settings: Settings, serve: Serve, clock: Clock, feed: str, name: str, market: str
) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        assert dict(fetch_feed(served, feed, clock).failures) == {}
    got = landed(served, f"binance_archive.{feed}")["candles"].filter(instrument=name).sort("opened_at")
    listing = emulated.BY_NAME[name]
    expected = MARKET.candles(listing, market, 60, START, END)  # type: ignore[arg-type]
    prices = [pl.col(c) * listing.multiplier for c in ("open", "high", "low", "close")]
    assert_frame_equal(got.select("opened_at", "open", "high", "low", "close"), expected.select("opened_at", *prices))
    assert set(got["market"]) == {market}
    if market in ("perp", "spot"):
        amounts = [pl.col(c) / listing.multiplier for c in ("volume_base", "taker_buy_base")]
        assert_frame_equal(got.select("volume_base", "taker_buy_base"), expected.select(amounts))
        assert_frame_equal(got.select("volume_quote"), expected.select("volume_quote"))


def test_volatility_and_coin_margined_metrics_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        fetch_feed(served, "volatility_index", clock)
        fetch_feed(served, "cm_metrics", clock)
    index = landed(served, "binance_archive.volatility_index")["volatility_index"]
    columns = ["opened_at", "open", "high", "low", "close"]
    assert_frame_equal(index.sort("opened_at").select(columns), MARKET.volatility_index("BTC", 60, START, END))
    interest = landed(served, "binance_archive.cm_metrics")["open_interest"].sort("event_at")
    assert_frame_equal(interest.select("event_at", "oi_base", "oi_usd"), market_oi("BTCUSD_PERP"))
    assert interest["oi_raw"][0] == pytest.approx(interest["oi_usd"][0] / 100)


def test_a_month_fetched_as_one_equals_its_days(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (emulator, served):
        clock.now = datetime(2024, 3, 20)
        report = fetch_feed(served, "um_candles", clock, first=date(2024, 2, 1), last=date(2024, 2, 29))
        assert [landing.partition for landing in report.landings] == ["2024-02"]
        assert {hit.where.rsplit("/", 1)[1] for hit in emulator.hits if "1000PEPE" in hit.where} == {
            "1000PEPEUSDT-1h-2024-02.zip", "1000PEPEUSDT-1h-2024-02.zip.CHECKSUM",
        }  # fmt: skip
        fetch_feed(served, "um_metrics", clock, first=date(2024, 2, 1), last=date(2024, 2, 29))
    candles = landed(served, "binance_archive.um_candles")["candles"].filter(instrument="BTCUSDT").sort("opened_at")
    expected = MARKET.candles(emulated.BY_NAME["BTCUSDT"], "perp", 60, datetime(2024, 2, 1), datetime(2024, 3, 1))
    assert_frame_equal(candles.select("opened_at", "close"), expected.select("opened_at", "close"))
    interest = (
        landed(served, "binance_archive.um_metrics")["open_interest"].filter(instrument="BTCUSDT").sort("event_at")
    )
    assert_frame_equal(
        interest.select("event_at", "oi_base", "oi_usd"),
        market_oi("BTCUSDT", datetime(2024, 2, 1), datetime(2024, 3, 1)),
    )


# Availability


def test_instruments_come_from_the_folders_so_that_the_delisted_stay(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance_archive", settings=settings) as (emulator, served):
        fetch_feed(served, "instruments", clock)
        markers = [hit.params.get("marker") for hit in emulator.hits]
    rows = landed(served, "binance_archive.instruments")["instruments"].sort("instrument")
    assert rows["instrument"].to_list() == sorted(emulated.BY_NAME)
    assert any(markers)  # two keys to a page
    assert rows["instrument"].is_unique().all()  # listed in several folders
    by_instrument = dict(
        rows.select(
            "instrument", pl.struct("asset", "quote", "contract_type", "contract_size", "multiplier")
        ).iter_rows()
    )
    assert by_instrument["AVAXBUSD"] == {
        "asset": "AVAX", "quote": "BUSD", "contract_type": "linear", "contract_size": None, "multiplier": 1.0,
    }  # fmt: skip
    assert (by_instrument["BTCUSD_PERP"]["contract_size"], by_instrument["ETHUSD_PERP"]["contract_size"]) == (
        100.0,
        10.0,
    )
    assert by_instrument["1000PEPEUSDT"]["multiplier"] == 1000.0
    assert by_instrument["PEPE/USDT"]["contract_type"] == "spot"


def test_a_delisted_instrument_has_its_days_and_then_none(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        before = fetch_feed(served, "um_metrics", clock, first=date(2024, 1, 14), last=date(2024, 1, 14))
        after = fetch_feed(served, "um_metrics", clock)
    assert covers(before)["AVAXBUSD"] == "complete"
    # Not "not yet published": it had no file in the ten days before.
    assert covers(after)["AVAXBUSD"] == "empty"
    assert after.landings[0].completeness == "complete"


def test_days_after_the_end_of_an_archive_are_not_requested() -> None:
    feed = registry.venue("binance_archive").feed("cm_liquidations")
    partitions = plan_days(feed, date(2024, 10, 12), date(2024, 12, 1), now=datetime(2025, 1, 1), landed=())
    assert [partition.name for partition in partitions] == ["2024-10-12", "2024-10-13", "2024-10-14"]


@pytest.mark.parametrize(("now", "months"), [
    (datetime(2024, 3, 1, 12), ["2024-01"]), (datetime(2024, 3, 2), ["2024-01", "2024-02"]),
])  # fmt: skip
def test_funding_is_requested_by_whole_past_months(now: datetime, months: list[str]) -> None:
    feed = registry.venue("binance_archive").feed("funding")
    partitions = plan_days(feed, date(2024, 1, 20), date(2024, 3, 1), now=now, landed=())
    assert [partition.name for partition in partitions] == months


def test_funding_of_both_markets_is_what_was_settled(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        fetch_feed(served, "funding", clock, first=date(2024, 2, 29), last=date(2024, 2, 29))
    rows = landed(served, "binance_archive.funding")["funding_rates"].sort("settled_at")
    for name in ("BTCUSDT", "BTCUSD_PERP"):
        expected = MARKET.funding(emulated.BY_NAME[name], datetime(2024, 2, 1), datetime(2024, 3, 1))
        columns = ["settled_at", "rate", "interval_hours"]
        assert_frame_equal(rows.filter(instrument=name).select(columns), expected.select(columns))


# Late and wrong files


def test_a_file_missing_today_is_fetched_tomorrow(settings: Settings, serve: Serve, clock: Clock) -> None:
    clock.now = datetime(2024, 3, 9, 0, 30)
    late = Fault("BTCUSDT-metrics-2024-03-07.zip", "status", status=404, times=1)
    with serve("binance_archive", settings=settings, faults=[late]) as (_, served):
        today = fetch_feed(served, "um_metrics", clock, first=LAST)
        assert (today.not_yet_published, today.landings[0].completeness) == (1, "partial")
        clock.now = datetime(2024, 3, 9, 7)
        tomorrow = fetch_feed(served, "um_metrics", clock, first=LAST)
    assert (tomorrow.not_yet_published, tomorrow.landings[0].completeness) == (0, "complete")
    rows = landed(served, "binance_archive.um_metrics")["open_interest"]
    assert rows.group_by("instrument").len().sort("instrument").rows() == [("1000PEPEUSDT", 288), ("BTCUSDT", 288)]


def test_a_file_with_a_wrong_checksum_is_not_landed_and_retried(settings: Settings, serve: Serve, clock: Clock) -> None:
    wrong = Fault("BTCUSDT-metrics-2024-03-07.zip.CHECKSUM", "body", body=b"0" * 64 + b"  x.zip", times=3)
    with serve("binance_archive", settings=settings, faults=[wrong]) as (_, served):
        report = fetch_feed(served, "um_metrics", clock, first=LAST)
        error = report.failures["2024-03-07 BTCUSDT"]
        assert isinstance(error, VenueUnavailableError)
        assert "BTCUSDT-metrics-2024-03-07.zip" in str(error) and f"its .CHECKSUM file has {'0' * 64}" in str(error)
        assert set(covers(report)) == {"1000PEPEUSDT", "AVAXBUSD"}
        assert dict(fetch_feed(served, "um_metrics", clock, first=LAST).failures) == {}
    assert landings(served, "binance_archive.um_metrics")[-1].completeness == "complete"


def test_a_checksum_replaced_shortly_after_its_file_is_retried(settings: Settings, serve: Serve, clock: Clock) -> None:
    old = Fault("BTCUSDT-metrics-2024-03-07.zip.CHECKSUM", "body", body=b"0" * 64 + b"  x.zip", times=1)
    with serve("binance_archive", settings=settings, faults=[old]) as (_, served):
        assert dict(fetch_feed(served, "um_metrics", clock, first=LAST).failures) == {}


@pytest.mark.parametrize("kind", ["truncated", "html", "reset"])
def test_a_truncated_zip_or_an_html_page_is_fetched_again(
    settings: Settings, serve: Serve, clock: Clock, kind: str
) -> None:
    fault = Fault("BTCUSDT-metrics-2024-03-07.zip", kind, times=1)  # type: ignore[arg-type]
    with serve("binance_archive", settings=settings, faults=[fault]) as (_, served):
        report = fetch_feed(served, "um_metrics", clock, first=LAST)
    assert (dict(report.failures), report.landings[0].completeness) == ({}, "complete")


def test_a_zip_that_declares_a_huge_size_is_refused_at_once(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binance_files, "LARGEST_INFLATED", 1 << 20)
    bomb = emulated.zipped("x.csv", b"0" * (2 << 20))
    fault = Fault("/BTCUSDT-metrics-2024-03-07.zip", "rewrite", change=lambda _: bomb, times=99)
    with serve("binance_archive", settings=settings, faults=[fault]) as (emulator, served):
        error = fetch_feed(served, "um_metrics", clock, first=LAST).failures["2024-03-07 BTCUSDT"]
        requested = [hit for hit in emulator.hits if hit.where.endswith("/BTCUSDT-metrics-2024-03-07.zip")]
    assert isinstance(error, SourceFormatError)
    assert "inflates to 2 MiB" in str(error)
    assert len(requested) == 1


# Restated


@dataclass(frozen=True)
class RestatedMarket(AnalyticMarket):
    """The same market, with open interest of the given instruments halved."""

    halved: set[str] = field(default_factory=set)

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        frame = super().open_interest(listing, minutes, start, end)
        return frame.with_columns(pl.col("oi_base", "oi_usd") / 2) if listing.instrument in self.halved else frame


def test_a_replaced_file_is_reloaded_and_unchanged_files_are_not_fetched(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    market = RestatedMarket()
    with serve("binance_archive", settings=settings, market=market) as (emulator, served):
        fetch_feed(served, "um_metrics", clock, first=LAST)
        before = loaded(served, "open_interest", clock=clock)
        market.halved.add("BTCUSDT")
        emulator.hits.clear()
        clock.now += timedelta(hours=7)
        report = fetch_feed(served, "um_metrics", clock, first=LAST)
        requested = sorted(hit.where.rsplit("/", 1)[1] for hit in emulator.hits if "-metrics-" in hit.where)
        after = loaded(served, "open_interest", clock=clock)
    assert [landing.version for landing in report.landings] == [2]
    # The checksum is fetched first, the file only if it changed.
    assert requested == [
        "1000PEPEUSDT-metrics-2024-03-07.zip.CHECKSUM",
        "AVAXBUSD-metrics-2024-03-07.zip",
        "BTCUSDT-metrics-2024-03-07.zip",
        "BTCUSDT-metrics-2024-03-07.zip.CHECKSUM",
        "BTCUSDT-metrics-2024-03-07.zip.CHECKSUM",
    ]
    assert before.height == after.height == 2 * 288
    total = {name: (before.filter(instrument=name)["oi_base"].sum(), after.filter(instrument=name)["oi_base"].sum())
             for name in ("BTCUSDT", "1000PEPEUSDT")}  # fmt: skip
    assert total["BTCUSDT"][1] == pytest.approx(total["BTCUSDT"][0] / 2)
    assert total["1000PEPEUSDT"][1] == total["1000PEPEUSDT"][0]


def test_a_day_that_has_not_changed_makes_no_new_landing(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, served):
        fetch_feed(served, "um_metrics", clock, first=LAST)
        clock.now += timedelta(hours=7)
        report = fetch_feed(served, "um_metrics", clock, first=LAST)
    assert (report.landings, report.unchanged) == ((), 1)


# From a local folder


def mirrored(folder: Path, name: str, change: Callable[[bytes], bytes] = bytes) -> Settings:
    """Settings with a mirror of three days of one instrument's metrics, with their text changed by `change`."""
    listing = emulated.BY_NAME[name]
    files = folder / f"data/futures/um/daily/metrics/{name}"
    files.mkdir(parents=True)
    for day in (FIRST, date(2024, 3, 6), LAST):
        file = files / f"{name}-metrics-{day}.zip"
        file.write_bytes(emulated.zipped(f"{name}.csv", change(emulated.metrics_text(MARKET, listing, day))))
        Path(f"{file}.CHECKSUM").write_bytes(emulated.checksum(file.read_bytes(), file.name))
    base = f"file://{folder}"
    return Settings.load().model_copy(
        update={"endpoints": {"binance_archive.archive": base, "binance_archive.listing": base}}
    )


def test_a_mirror_is_read_like_the_archive_itself(settings: Settings, tmp_path: Path, clock: Clock) -> None:
    served = mirrored(tmp_path / "mirror of files", "BTCUSDT").model_copy(update={"home": settings.home})
    report = fetch_feed(served, "um_metrics", clock)
    assert (dict(report.failures), [covers(report)]) == ({}, [{"BTCUSDT": "complete"}])
    assert landed(served, "binance_archive.instruments")["instruments"]["instrument"].to_list() == ["BTCUSDT"]
    rows = landed(served, "binance_archive.um_metrics")["open_interest"].sort("event_at")
    assert_frame_equal(rows.select("event_at", "oi_base", "oi_usd"), market_oi("BTCUSDT"))


def test_a_mirror_without_checksums_is_an_error_that_names_them(
    settings: Settings, tmp_path: Path, clock: Clock
) -> None:
    served = mirrored(tmp_path / "mirror", "BTCUSDT").model_copy(update={"home": settings.home})
    for path in (tmp_path / "mirror").rglob("*.CHECKSUM"):
        path.unlink()
    failures = fetch_feed(served, "um_metrics", clock).failures
    assert len(failures) == 3
    assert all("a mirror needs both files" in str(error) for error in failures.values())
    assert LandingStore(served.root).all("binance_archive.um_metrics") == []


def test_repeated_missing_and_contradicting_stamps_are_each_accounted_for(
    settings: Settings, tmp_path: Path, clock: Clock
) -> None:
    def damaged(text: bytes) -> bytes:
        """The first record twice, the second twice with another amount, the third not at all."""
        header, first, second, _, *rest = text.splitlines()
        other = b",".join([*second.split(b",")[:2], b"1.0", *second.split(b",")[3:]])
        return b"\n".join([header, first, first, second, other, *rest]) + b"\n"

    served = mirrored(tmp_path / "mirror", "BTCUSDT", damaged).model_copy(update={"home": settings.home})
    fetch_feed(served, "um_metrics", clock, first=LAST)
    rows = loaded(served, "open_interest", clock=clock)
    assert rows.height == 288 - 2
    assert START + timedelta(days=2) + FIVE in rows["event_at"].to_list()
    refused = quarantined(served).filter(table_name="open_interest")
    assert refused.select("reason").rows() == [("conflicting_duplicate",)] * 2
    with writer(served, what="test") as con:
        counts = con.sql(
            "select received, accepted, duplicates, quarantined from ops.loads where table_name = 'open_interest'"
        ).fetchall()
        coverage = con.sql(
            "select status, reason, detail from ops.coverage where table_name = 'open_interest'"
        ).fetchall()
    assert counts == [(289, 286, 1, 2)]
    assert coverage == [("partial", "quarantined", "2 rows in quarantine")]
