"""Binance's archives over HTTP and from a mirror: verified, complete, restated, and late or never there."""

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

WORLD = AnalyticMarket()
FIRST, LAST = date(2024, 3, 5), date(2024, 3, 7)
START, END = datetime(2024, 3, 5), datetime(2024, 3, 8)
FIVE = timedelta(minutes=5)


def bring(
    settings: Settings, feed: str, clock: Clock, *, first: date = FIRST, last: date = LAST, again: bool = False
) -> FetchReport:
    reports = fetch(
        settings, "binance_archive", [feed], first=first, last=last, assets=["BTC", "PEPE", "AVAX"], again=again,
        retry=FAST_RETRY, clock=clock,
    )  # fmt: skip
    return reports[-1]


def market_oi(name: str, start: datetime = START, end: datetime = END) -> pl.DataFrame:
    listing = emulated.BY_NAME[name]
    true = WORLD.open_interest(listing, 5, start + FIVE, end + FIVE)
    return true.select("event_at", pl.col("oi_base") / listing.multiplier, "oi_usd")


def covers(report: FetchReport) -> Mapping[str, str]:
    return dict(report.landings[0].request["covers"])


# Whole ways


def test_metrics_over_http_are_what_the_market_did_the_same_once_loaded(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance_archive", settings=settings) as (_, there):
        assert dict(bring(there, "um_metrics", clock).failures) == {}
        got = loaded(there, "open_interest", clock=clock)
        # Scaled: the instrument's own unit is a thousand coins. Its value in dollars is what it is.
        for name in ("BTCUSDT", "1000PEPEUSDT"):
            mine = got.filter(instrument=name).sort("event_at").select("event_at", "oi_base", "oi_usd")
            assert_frame_equal(mine, market_oi(name))
        assert set(got["trade_date"]) == {FIRST, date(2024, 3, 6), LAST}
        with writer(there, what="test") as con:
            ratios = con.sql(
                "select event_at, ratio from clean.long_short_ratios "
                "where instrument = 'BTCUSDT' and measure = 'position_top' order by event_at"
            ).pl()
            coverage = con.sql("select distinct venue, series, status from ops.coverage order by all").fetchall()
        true = WORLD.ratios(emulated.BY_NAME["BTCUSDT"], "position_top", 5, START + FIVE, END + FIVE)
        assert_frame_equal(ratios, true)
        assert {status for _, _, status in coverage} == {"complete"}
        assert {venue for venue, _, _ in coverage} == {"binance"}


def test_doubled_liquidations_are_loaded_once_and_their_days_are_called_partial(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance_archive", settings=settings) as (_, there):
        bring(there, "cm_liquidations", clock)
        got = loaded(there, "liquidations", clock=clock).sort("occurred_at")
        true = WORLD.liquidations(emulated.BY_NAME["BTCUSD_PERP"], START, END)
        columns = ["occurred_at", "side", "price"]
        assert_frame_equal(got.select(columns), true.select(columns))
        # The emulated quantity is a number of contracts here, of 100 dollars each.
        assert got["notional_usd"].to_list() == (true["quantity_base"] * 100).to_list()
        with writer(there, what="test") as con:
            statuses = con.sql(
                "select distinct status, reason from ops.coverage where table_name = 'liquidations'"
            ).fetchall()
            counted = con.execute(
                "select sum(received), sum(accepted), sum(duplicates) from ops.loads where table_name = 'liquidations'"
            ).fetchone()
        assert statuses == [("partial", "COIN-M only, and at most one liquidation per symbol and second")]
        assert counted == (2 * true.height, true.height, true.height)


@pytest.mark.parametrize(
    ("feed", "name", "market"),
    [
        ("um_candles", "1000PEPEUSDT", "perp"), ("cm_candles", "BTCUSD_PERP", "perp"), ("spot_candles", "BTC/USDT", "spot"),
        ("um_mark_candles", "BTCUSDT", "mark"), ("um_index_candles", "BTCUSDT", "index"),
        ("cm_mark_candles", "BTCUSD_PERP", "mark"),
    ],
)  # fmt: skip
def test_candles_over_http_are_what_the_market_did(
    settings: Settings, serve: Serve, clock: Clock, feed: str, name: str, market: str
) -> None:
    with serve("binance_archive", settings=settings) as (_, there):
        assert dict(bring(there, feed, clock).failures) == {}
    got = landed(there, f"binance_archive.{feed}")["candles"].filter(instrument=name).sort("opened_at")
    listing = emulated.BY_NAME[name]
    true = WORLD.candles(listing, market, 60, START, END)  # type: ignore[arg-type]
    prices = [pl.col(c) * listing.multiplier for c in ("open", "high", "low", "close")]
    assert_frame_equal(got.select("opened_at", "open", "high", "low", "close"), true.select("opened_at", *prices))
    assert set(got["market"]) == {market}
    if market in ("perp", "spot"):
        amounts = [pl.col(c) / listing.multiplier for c in ("volume_base", "taker_buy_base")]
        assert_frame_equal(got.select("volume_base", "taker_buy_base"), true.select(amounts))
        assert_frame_equal(got.select("volume_quote"), true.select("volume_quote"))


def test_volatility_and_coin_margined_metrics_are_what_the_market_did(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance_archive", settings=settings) as (_, there):
        bring(there, "volatility_index", clock)
        bring(there, "cm_metrics", clock)
    index = landed(there, "binance_archive.volatility_index")["volatility_index"]
    columns = ["opened_at", "open", "high", "low", "close"]
    assert_frame_equal(index.sort("opened_at").select(columns), WORLD.volatility_index("BTC", 60, START, END))
    interest = landed(there, "binance_archive.cm_metrics")["open_interest"].sort("event_at")
    assert_frame_equal(interest.select("event_at", "oi_base", "oi_usd"), market_oi("BTCUSD_PERP"))
    assert interest["oi_raw"][0] == pytest.approx(interest["oi_usd"][0] / 100)


def test_a_month_fetched_as_one_says_what_its_days_say(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (emulator, there):
        clock.now = datetime(2024, 3, 20)
        report = bring(there, "um_candles", clock, first=date(2024, 2, 1), last=date(2024, 2, 29))
        assert [landing.partition for landing in report.landings] == ["2024-02"]
        assert {hit.where.rsplit("/", 1)[1] for hit in emulator.hits if "1000PEPE" in hit.where} == {
            "1000PEPEUSDT-1h-2024-02.zip", "1000PEPEUSDT-1h-2024-02.zip.CHECKSUM",
        }  # fmt: skip
        bring(there, "um_metrics", clock, first=date(2024, 2, 1), last=date(2024, 2, 29))
    candles = landed(there, "binance_archive.um_candles")["candles"].filter(instrument="BTCUSDT").sort("opened_at")
    true = WORLD.candles(emulated.BY_NAME["BTCUSDT"], "perp", 60, datetime(2024, 2, 1), datetime(2024, 3, 1))
    assert_frame_equal(candles.select("opened_at", "close"), true.select("opened_at", "close"))
    interest = (
        landed(there, "binance_archive.um_metrics")["open_interest"].filter(instrument="BTCUSDT").sort("event_at")
    )
    assert_frame_equal(
        interest.select("event_at", "oi_base", "oi_usd"),
        market_oi("BTCUSDT", datetime(2024, 2, 1), datetime(2024, 3, 1)),
    )


# What there is


def test_instruments_come_from_the_folders_so_that_the_delisted_stay(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance_archive", settings=settings) as (emulator, there):
        bring(there, "instruments", clock)
        markers = [hit.params.get("marker") for hit in emulator.hits]
    rows = landed(there, "binance_archive.instruments")["instruments"].sort("instrument")
    assert rows["instrument"].to_list() == sorted(emulated.BY_NAME)
    assert any(markers)  # two keys to a page
    assert rows["instrument"].is_unique().all()  # listed in several folders
    held = dict(
        rows.select(
            "instrument", pl.struct("asset", "quote", "contract_type", "contract_size", "multiplier")
        ).iter_rows()
    )
    assert held["AVAXBUSD"] == {
        "asset": "AVAX", "quote": "BUSD", "contract_type": "linear", "contract_size": None, "multiplier": 1.0,
    }  # fmt: skip
    assert (held["BTCUSD_PERP"]["contract_size"], held["ETHUSD_PERP"]["contract_size"]) == (100.0, 10.0)
    assert held["1000PEPEUSDT"]["multiplier"] == 1000.0
    assert held["PEPE/USDT"]["contract_type"] == "spot"


def test_a_delisted_instrument_has_its_days_and_then_none(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, there):
        before = bring(there, "um_metrics", clock, first=date(2024, 1, 14), last=date(2024, 1, 14))
        after = bring(there, "um_metrics", clock)
    assert covers(before)["AVAXBUSD"] == "complete"
    # Not "not yet": no file of it came in the ten days before.
    assert covers(after)["AVAXBUSD"] == "empty"
    assert after.landings[0].completeness == "complete"


def test_an_archive_that_ended_is_not_asked_for_later_days() -> None:
    feed = registry.venue("binance_archive").feed("cm_liquidations")
    partitions = plan_days(feed, date(2024, 10, 12), date(2024, 12, 1), now=datetime(2025, 1, 1), landed=())
    assert [partition.name for partition in partitions] == ["2024-10-12", "2024-10-13", "2024-10-14"]


@pytest.mark.parametrize(("now", "months"), [
    (datetime(2024, 3, 1, 12), ["2024-01"]), (datetime(2024, 3, 2), ["2024-01", "2024-02"]),
])  # fmt: skip
def test_funding_is_asked_for_by_whole_months_that_have_ended(now: datetime, months: list[str]) -> None:
    feed = registry.venue("binance_archive").feed("funding")
    partitions = plan_days(feed, date(2024, 1, 20), date(2024, 3, 1), now=now, landed=())
    assert [partition.name for partition in partitions] == months


def test_funding_of_both_markets_is_what_was_settled(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance_archive", settings=settings) as (_, there):
        bring(there, "funding", clock, first=date(2024, 2, 29), last=date(2024, 2, 29))
    rows = landed(there, "binance_archive.funding")["funding_rates"].sort("settled_at")
    for name in ("BTCUSDT", "BTCUSD_PERP"):
        true = WORLD.funding(emulated.BY_NAME[name], datetime(2024, 2, 1), datetime(2024, 3, 1))
        columns = ["settled_at", "rate", "interval_hours"]
        assert_frame_equal(rows.filter(instrument=name).select(columns), true.select(columns))


# Not yet, and not right


def test_what_is_not_there_today_is_there_tomorrow(settings: Settings, serve: Serve, clock: Clock) -> None:
    clock.now = datetime(2024, 3, 9, 0, 30)
    late = Fault("BTCUSDT-metrics-2024-03-07.zip", "status", status=404, times=1)
    with serve("binance_archive", settings=settings, faults=[late]) as (_, there):
        today = bring(there, "um_metrics", clock, first=LAST)
        assert (today.not_yet_published, today.landings[0].completeness) == (1, "partial")
        clock.now = datetime(2024, 3, 9, 7)
        tomorrow = bring(there, "um_metrics", clock, first=LAST)
    assert (tomorrow.not_yet_published, tomorrow.landings[0].completeness) == (0, "complete")
    rows = landed(there, "binance_archive.um_metrics")["open_interest"]
    assert rows.group_by("instrument").len().sort("instrument").rows() == [("1000PEPEUSDT", 288), ("BTCUSDT", 288)]


def test_a_wrong_checksum_is_never_landed_and_asked_about_again(settings: Settings, serve: Serve, clock: Clock) -> None:
    wrong = Fault("BTCUSDT-metrics-2024-03-07.zip.CHECKSUM", "body", body=b"0" * 64 + b"  x.zip", times=3)
    with serve("binance_archive", settings=settings, faults=[wrong]) as (_, there):
        report = bring(there, "um_metrics", clock, first=LAST)
        error = report.failures["2024-03-07 BTCUSDT"]
        assert isinstance(error, VenueUnavailableError)
        assert "BTCUSDT-metrics-2024-03-07.zip" in str(error) and "says " + "0" * 64 in str(error)
        assert set(covers(report)) == {"1000PEPEUSDT", "AVAXBUSD"}
        assert dict(bring(there, "um_metrics", clock, first=LAST).failures) == {}
    assert landings(there, "binance_archive.um_metrics")[-1].completeness == "complete"


def test_a_checksum_that_is_replaced_a_moment_after_its_file_is_waited_for(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    old = Fault("BTCUSDT-metrics-2024-03-07.zip.CHECKSUM", "body", body=b"0" * 64 + b"  x.zip", times=1)
    with serve("binance_archive", settings=settings, faults=[old]) as (_, there):
        assert dict(bring(there, "um_metrics", clock, first=LAST).failures) == {}


@pytest.mark.parametrize("kind", ["truncated", "html", "reset"])
def test_half_a_zip_or_a_page_for_people_is_fetched_again(
    settings: Settings, serve: Serve, clock: Clock, kind: str
) -> None:
    fault = Fault("BTCUSDT-metrics-2024-03-07.zip", kind, times=1)  # type: ignore[arg-type]
    with serve("binance_archive", settings=settings, faults=[fault]) as (_, there):
        report = bring(there, "um_metrics", clock, first=LAST)
    assert (dict(report.failures), report.landings[0].completeness) == ({}, "complete")


def test_a_zip_that_claims_to_be_huge_is_refused_at_once(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binance_files, "LARGEST_INFLATED", 1 << 20)
    bomb = emulated.zipped("x.csv", b"0" * (2 << 20))
    fault = Fault("/BTCUSDT-metrics-2024-03-07.zip", "answer", change=lambda _: bomb, times=99)
    with serve("binance_archive", settings=settings, faults=[fault]) as (emulator, there):
        error = bring(there, "um_metrics", clock, first=LAST).failures["2024-03-07 BTCUSDT"]
        asked = [hit for hit in emulator.hits if hit.where.endswith("/BTCUSDT-metrics-2024-03-07.zip")]
    assert isinstance(error, SourceFormatError)
    assert "would inflate to 2 MiB" in str(error)
    assert len(asked) == 1


# Restated


@dataclass(frozen=True)
class RestatedWorld(AnalyticMarket):
    """The same market; of the instruments named, the exchange says later that it was half as much."""

    halved: set[str] = field(default_factory=set)

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        frame = super().open_interest(listing, minutes, start, end)
        return frame.with_columns(pl.col("oi_base", "oi_usd") / 2) if listing.instrument in self.halved else frame


def test_a_replaced_archive_flows_through_and_what_did_not_change_is_not_fetched(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    model = RestatedWorld()
    with serve("binance_archive", settings=settings, market=model) as (emulator, there):
        bring(there, "um_metrics", clock, first=LAST)
        before = loaded(there, "open_interest", clock=clock)
        model.halved.add("BTCUSDT")
        emulator.hits.clear()
        clock.now += timedelta(hours=7)
        report = bring(there, "um_metrics", clock, first=LAST)
        asked = sorted(hit.where.rsplit("/", 1)[1] for hit in emulator.hits if "-metrics-" in hit.where)
        after = loaded(there, "open_interest", clock=clock)
    assert [landing.version for landing in report.landings] == [2]
    # The digest is asked for first; the file only where it is another.
    assert asked == [
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
    with serve("binance_archive", settings=settings) as (_, there):
        bring(there, "um_metrics", clock, first=LAST)
        clock.now += timedelta(hours=7)
        report = bring(there, "um_metrics", clock, first=LAST)
    assert (report.landings, report.unchanged) == ((), 1)


# From a local folder


def mirrored(folder: Path, name: str, change: Callable[[bytes], bytes] = bytes) -> Settings:
    """Settings with a mirror of one instrument's metrics of three days, their text changed by `change`."""
    listing = emulated.BY_NAME[name]
    files = folder / f"data/futures/um/daily/metrics/{name}"
    files.mkdir(parents=True)
    for day in (FIRST, date(2024, 3, 6), LAST):
        file = files / f"{name}-metrics-{day}.zip"
        file.write_bytes(emulated.zipped(f"{name}.csv", change(emulated.metrics_text(WORLD, listing, day))))
        Path(f"{file}.CHECKSUM").write_bytes(emulated.checksum(file.read_bytes(), file.name))
    base = f"file://{folder}"
    return Settings.load().model_copy(
        update={"endpoints": {"binance_archive.archive": base, "binance_archive.listing": base}}
    )


def test_a_mirror_is_read_like_the_archive_itself(settings: Settings, tmp_path: Path, clock: Clock) -> None:
    there = mirrored(tmp_path / "mirror of files", "BTCUSDT").model_copy(update={"home": settings.home})
    report = bring(there, "um_metrics", clock)
    assert (dict(report.failures), [covers(report)]) == ({}, [{"BTCUSDT": "complete"}])
    assert landed(there, "binance_archive.instruments")["instruments"]["instrument"].to_list() == ["BTCUSDT"]
    rows = landed(there, "binance_archive.um_metrics")["open_interest"].sort("event_at")
    assert_frame_equal(rows.select("event_at", "oi_base", "oi_usd"), market_oi("BTCUSDT"))


def test_a_mirror_without_checksums_says_what_it_lacks(settings: Settings, tmp_path: Path, clock: Clock) -> None:
    there = mirrored(tmp_path / "mirror", "BTCUSDT").model_copy(update={"home": settings.home})
    for path in (tmp_path / "mirror").rglob("*.CHECKSUM"):
        path.unlink()
    failures = bring(there, "um_metrics", clock).failures
    assert len(failures) == 3
    assert all("a mirror needs both" in str(error) for error in failures.values())
    assert LandingStore(there.root).all("binance_archive.um_metrics") == []


def test_repeated_missing_and_contradicting_stamps_are_each_accounted_for(
    settings: Settings, tmp_path: Path, clock: Clock
) -> None:
    def damaged(text: bytes) -> bytes:
        """The first record twice, the second twice with another amount, the third not at all."""
        header, first, second, _, *rest = text.splitlines()
        other = b",".join([*second.split(b",")[:2], b"1.0", *second.split(b",")[3:]])
        return b"\n".join([header, first, first, second, other, *rest]) + b"\n"

    there = mirrored(tmp_path / "mirror", "BTCUSDT", damaged).model_copy(update={"home": settings.home})
    bring(there, "um_metrics", clock, first=LAST)
    rows = loaded(there, "open_interest", clock=clock)
    assert rows.height == 288 - 2
    assert START + timedelta(days=2) + FIVE in rows["event_at"].to_list()
    refused = quarantined(there).filter(table_name="open_interest")
    assert refused.select("reason").rows() == [("conflicting_duplicate",)] * 2
    with writer(there, what="test") as con:
        counts = con.sql(
            "select received, accepted, duplicates, quarantined from ops.loads where table_name = 'open_interest'"
        ).fetchall()
        coverage = con.sql("select status, reason from ops.coverage where table_name = 'open_interest'").fetchall()
    assert counts == [(289, 286, 1, 2)]
    assert coverage == [("partial", "2 rows in quarantine")]
