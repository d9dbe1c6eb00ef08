"""Parsing of Binance's archive files: labels, units, sentinels and doubled rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import LimitError, SourceFormatError
from pipelines.core.limits import Limits, in_force
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import binance_archive as emulated
from pipelines.sources.cex.binance_archive import wire as binance_files
from tests.sources.binance_fixture import INVERSE, archived, parsed
from tests.sources.conftest import sample

MARKET = AnalyticMarket()
HEADER = f"{emulated.METRICS_COLUMNS}\n".encode()


def metrics(day: str, *records: str, symbol: str = "BTCUSDT") -> Any:
    return archived(symbol, f"{symbol}-metrics-{day}.zip", HEADER + "\n".join(records).encode() + b"\n")


def lines_of(text: bytes, starting: str) -> list[str]:
    return [line for line in text.decode().splitlines() if line.startswith(starting)]


# Metrics


def test_older_metrics_are_labeled_with_the_end_of_their_period(samples_dir: Path) -> None:
    records = lines_of(sample(samples_dir, "binance_um_metrics_raw_format.csv"), "2025-11-02")
    found = parsed("binance_archive", "um_metrics", [metrics("2025-11-02", *records)])
    rows, rejects = found["open_interest"]
    first = rows.row(0, named=True)
    # 76,643.191 bitcoin worth 8,430,743,345.6809 tether at 00:05: 110,000 a piece, one-sided.
    assert (first["event_at"], first["oi_base"], first["oi_usd"]) == (
        datetime(2025, 11, 2, 0, 5),
        76643.191,
        8430743345.6809,
    )
    assert (first["oi_raw"], first["oi_raw_unit"], first["counting"]) == (76643.191, "base", "one_sided")
    # A day's file comes a day or two after the day: not before the end of the next one.
    assert first["available_at"] == datetime(2025, 11, 4)
    assert rejects.height == 0


def test_metrics_since_the_summer_of_2026_are_labeled_with_the_start_of_their_period(samples_dir: Path) -> None:
    records = lines_of(sample(samples_dir, "binance_um_metrics_raw_format.csv"), "2026-08-08")
    rows, _ = parsed("binance_archive", "um_metrics", [metrics("2026-08-08", *records)])["open_interest"]
    # Labeled 00:00: the period ends, and the state is, at 00:05.
    assert rows.select("event_at", "oi_base").row(0) == (datetime(2026, 8, 8, 0, 5), 106964.058)


def test_a_record_gives_the_four_measures_by_their_columns(samples_dir: Path) -> None:
    page = archived(
        "BTCUSDT", "BTCUSDT-metrics-2023-11-14.zip", sample(samples_dir, "binance_um_metrics_BTCUSDT_2023-11-14.csv")
    )
    rows, _ = parsed("binance_archive", "um_metrics", [page])["long_short_ratios"]
    first = rows.filter(pl.col("event_at") == pl.datetime(2023, 11, 14, 0, 5))
    assert dict(first.select("measure", "ratio").iter_rows()) == {
        "account_top": 1.09249614, "position_top": 1.38046584, "account_global": 1.0884327, "taker_volume": 0.72138723,
    }  # fmt: skip
    # 1.0884327 longs to a short: 52.117% of all.
    assert first.filter(measure="account_global")["long_share"][0] == pytest.approx(0.521172, abs=1e-6)
    assert rows.height == 13 * 4


def test_the_two_label_conventions_join_without_gap_or_duplicate() -> None:
    listing = emulated.BY_NAME["BTCUSDT"]
    days = [date(2026, 6, 24) + timedelta(days=n) for n in range(4)]
    texts = [emulated.metrics_text(MARKET, listing, day) for day in days]
    midnight = b"\n2026-06-26 00:00:00,"
    assert [midnight in text for text in texts] == [False, True, True, False]  # the duplicate at the seam
    pages = [archived("BTCUSDT", f"BTCUSDT-metrics-{d}.zip", t) for d, t in zip(days, texts, strict=True)]
    rows, _ = parsed("binance_archive", "um_metrics", pages)["open_interest"]
    start = datetime(2026, 6, 24)
    expected = MARKET.open_interest(listing, 5, start + timedelta(minutes=5), start + timedelta(days=4, minutes=5))
    assert_frame_equal(rows.select("event_at", "oi_base"), expected.select("event_at", "oi_base"))


def test_near_the_switch_labels_are_inferred_from_the_file() -> None:
    early = metrics("2026-06-24", "2026-06-24 00:00:00,BTCUSDT,1,1,1,1,1,1", "2026-06-24 00:05:00,BTCUSDT,2,1,1,1,1,1")
    late = metrics("2026-06-28", "2026-06-28 23:55:00,BTCUSDT,3,1,1,1,1,1", "2026-06-29 00:00:00,BTCUSDT,4,1,1,1,1,1")
    rows, _ = parsed("binance_archive", "um_metrics", [early, late])["open_interest"]
    assert rows["event_at"].to_list() == [
        datetime(2026, 6, 24, 0, 5), datetime(2026, 6, 24, 0, 10), datetime(2026, 6, 28, 23, 55), datetime(2026, 6, 29),
    ]  # fmt: skip


def test_long_before_the_switch_a_stray_midnight_does_not_shift_a_day() -> None:
    page = metrics("2024-02-16", "2024-02-16 00:00:00,BTCUSDT,1,1,1,1,1,1", "2024-02-16 00:05:00,BTCUSDT,2,1,1,1,1,1")
    rows, _ = parsed("binance_archive", "um_metrics", [page])["open_interest"]
    assert rows["event_at"].to_list() == [datetime(2024, 2, 16), datetime(2024, 2, 16, 0, 5)]


def test_coin_margined_metrics_are_contracts_with_their_value_in_coin(samples_dir: Path) -> None:
    page = archived(
        "BTCUSD_PERP", "BTCUSD_PERP-metrics-2023-06-25.zip",
        sample(samples_dir, "binance_cm_metrics_BTCUSD_PERP_2023-06-25.csv"),
    )  # fmt: skip
    found = parsed("binance_archive", "cm_metrics", [page], INVERSE)
    first = found["open_interest"][0].row(0, named=True)
    # 5,578,700 contracts of 100 dollars are 557.87 million; at 30,543 a bitcoin that is the 18,265.009 of the value column.
    assert (first["oi_usd"], first["oi_base"]) == (557_870_000.0, 18265.00911826)
    assert (first["oi_raw"], first["oi_raw_unit"]) == (5_578_700.0, "contracts")
    # Always labeled with the start.
    assert first["event_at"] == datetime(2023, 6, 25, 0, 5)
    ratios, rejects = found["long_short_ratios"]
    assert ratios.select("measure", "ratio").rows() == [
        ("taker_volume", r) for r in (0.00855776, 1.1964513, 2.90028011)
    ]
    assert rejects.height == 0  # the empty texts of the other three are no faults


def test_coin_margined_metrics_of_an_unknown_contract_are_rejected() -> None:
    page = metrics("2023-06-25", "2023-06-25 00:00:00,XUSD_PERP,10,1,,,,1", symbol="XUSD_PERP")
    rows, rejects = parsed("binance_archive", "cm_metrics", [page], INVERSE)["open_interest"]
    assert rows.height == 0
    assert rejects.select("reason", "instrument", "trade_date").rows() == [
        ("unknown_instrument", "XUSD_PERP", date(2023, 6, 25))
    ]


def test_a_record_of_zeros_is_a_sentinel_and_no_state() -> None:
    day = emulated.metrics_text(MARKET, emulated.BY_NAME["BTCUSDT"], date(2025, 4, 15))
    found = parsed("binance_archive", "um_metrics", [archived("BTCUSDT", "BTCUSDT-metrics-2025-04-15.zip", day)])
    for rows, rejects in found.values():
        assert rejects.select("reason", "line", "trade_date").rows() == [("sentinel", 96, date(2025, 4, 15))]
        assert datetime(2025, 4, 15, 8) not in rows["event_at"].to_list()
    assert found["open_interest"][0].height == 287


# Liquidations, BVOL, funding


def test_a_forced_buy_closed_a_short_and_both_rows_of_a_pair_are_one_event(samples_dir: Path) -> None:
    text = sample(samples_dir, "binance_cm_liquidationSnapshot.csv")
    page = archived("BTCUSD_PERP", "BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip", text)
    rows, rejects = parsed("binance_archive", "cm_liquidations", [page], INVERSE)["liquidations"]
    first, fourth = rows.row(0, named=True), rows.row(3, named=True)
    # 7 contracts of 100 dollars, bought at 30,631.6 on average: 0.022852 bitcoin of a short position.
    assert (first["side"], first["price"], first["notional_usd"]) == ("short", 30631.6, 700.0)
    assert first["quantity_base"] == pytest.approx(0.02285222)
    assert first["occurred_at"] == datetime(2023, 6, 25, 1, 27, 51, 926000)
    assert (fourth["side"], fourth["price"], first["completeness"]) == ("long", 68203.4, "throttled")
    # Eight rows: three pairs and two that the sample quotes once.
    assert rows["liquidation_id"].n_unique() == 5
    assert rejects.height == 0


def test_four_equal_rows_are_two_events() -> None:
    row = "1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,7,7"
    page = archived("BTCUSD_PERP", "BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip", "\n".join([row] * 4).encode())
    rows, _ = parsed("binance_archive", "cm_liquidations", [page], INVERSE)["liquidations"]
    assert rows["liquidation_id"].n_unique() == 2


def test_bvol_is_percent_a_second_and_becomes_hourly_fractions(samples_dir: Path) -> None:
    text = sample(samples_dir, "binance_option_archives.csv").split(b"\n", 1)[1]
    later = b"1786147201000,BTCBVOLUSDT,BTCBVOL,USDT,36.0\n1786150800000,BTCBVOLUSDT,BTCBVOL,USDT,35.0\n"
    page = archived("BTCBVOLUSDT", "BTCBVOLUSDT-BVOLIndex-2026-08-08.zip", text + later)
    rows, _ = parsed("binance_archive", "volatility_index", [page])["volatility_index"]
    columns = ["index_name", "period", "opened_at", "open", "high", "low", "close"]
    assert rows.select(columns).rows() == [
        ("BVOL-BTC", "1h", datetime(2026, 8, 8), 0.357571, 0.36, 0.357571, 0.36),
        ("BVOL-BTC", "1h", datetime(2026, 8, 8, 1), 0.35, 0.35, 0.35, 0.35),
    ]


def test_funding_has_its_interval_and_slightly_late_timestamps() -> None:
    text = b"calc_time,funding_interval_hours,last_funding_rate\n1704067200013,4,-0.00012345\n"
    page = archived("BTCUSDT", "BTCUSDT-fundingRate-2024-01.zip", text)
    rows, _ = parsed("binance_archive", "funding", [page])["funding_rates"]
    assert rows.select("settled_at", "rate", "interval_hours", "available_at").rows() == [
        (datetime(2024, 1, 1), -0.00012345, 4.0, datetime(2024, 1, 1))
    ]


# Candles

# The first hour of 2024, from recorded archives.
FIRST_HOUR = {
    "um_candles": "1704067200000,42314.0,42603.2,42289.6,42503.5,8459.477,1704070799999,359196345.08716,88278,4687.976,"
    "199033806.82405,0",
    "cm_candles": "1704067200000,42305.5,42585.1,42282.7,42494.9,501936,1704070799999,1182.37349595,12750,258259,608.40983273,0",
}


def candle(feed: str, text: str, symbol: str) -> dict[str, Any]:
    page = archived(symbol, f"{symbol}-1h-2024-01-01.zip", text.encode())
    return parsed("binance_archive", feed, [page], INVERSE)["candles"][0].row(0, named=True)


def test_coin_margined_volume_is_contracts_and_the_quote_column_is_base() -> None:
    linear = candle("um_candles", FIRST_HOUR["um_candles"], "BTCUSDT")
    inverse = candle("cm_candles", FIRST_HOUR["cm_candles"], "BTCUSD_PERP")
    assert (linear["volume_base"], linear["volume_quote"], linear["taker_buy_base"]) == (
        8459.477,
        359196345.08716,
        4687.976,
    )
    # 501,936 contracts of 100 dollars are 50.2 million dollars, and 1,182.37 bitcoin.
    assert (inverse["volume_base"], inverse["volume_quote"]) == (1182.37349595, 50_193_600.0)
    assert inverse["taker_buy_base"] == 608.40983273
    assert (inverse["opened_at"], inverse["close"], inverse["trades"]) == (datetime(2024, 1, 1), 42494.9, 12750)


def test_a_header_makes_no_difference() -> None:
    bare = candle("um_candles", FIRST_HOUR["um_candles"], "BTCUSDT")
    assert candle("um_candles", f"{emulated.KLINE_COLUMNS}\n{FIRST_HOUR['um_candles']}", "BTCUSDT") == bare


def test_files_with_and_without_header_are_read_together() -> None:
    pages = [
        archived("BTCUSDT", "BTCUSDT-1h-2024-01-01.zip", FIRST_HOUR["um_candles"].encode()),
        archived(
            "ETHUSDT", "ETHUSDT-1h-2024-01-01.zip", f"{emulated.KLINE_COLUMNS}\n{FIRST_HOUR['um_candles']}".encode()
        ),
        archived("SOLUSDT", "SOLUSDT-1h-2024-01-01.zip", FIRST_HOUR["um_candles"].encode()),
    ]
    rows, _ = parsed("binance_archive", "um_candles", pages)["candles"]
    assert rows["instrument"].to_list() == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    assert rows["_line"].to_list() == [1, 2, 3]


def test_spot_counts_microseconds_since_2025() -> None:
    row = "1735689600000000,93576.0,93700.0,93500.0,93600.0,10.5,1735693199999999,982000.0,100,5.0,468000.0,0"
    page = archived("BTC/USDT", "BTCUSDT-1h-2025-01-01.zip", row.encode())
    rows, _ = parsed("binance_archive", "spot_candles", [page])["candles"]
    assert rows.select("instrument", "market", "opened_at", "volume_base").rows() == [
        ("BTC/USDT", "spot", datetime(2025, 1, 1), 10.5)
    ]


def test_mark_prices_have_no_volume() -> None:
    mark = candle("um_mark_candles", FIRST_HOUR["um_candles"].replace("8459.477", "0"), "BTCUSDT")
    assert (mark["market"], mark["close"], mark["volume_base"], mark["trades"]) == ("mark", 42503.5, None, None)


# Format changes and damage


def test_a_missing_column_is_an_error_that_names_it() -> None:
    page = archived(
        "BTCUSDT", "BTCUSDT-fundingRate-2024-01.zip", b"calc_time,funding_interval_hours,rate\n1704067200013,8,0.1\n"
    )
    with pytest.raises(SourceFormatError, match=r"BTCUSDT-fundingRate-2024-01.zip: missing column 'last_funding_rate'"):
        parsed("binance_archive", "funding", [page])


def test_a_retyped_column_is_an_error_that_names_it() -> None:
    text = b"calc_time,funding_interval_hours,last_funding_rate\n1704067200013,8,1%\n1704096000001,8,2%\n"
    with pytest.raises(SourceFormatError, match="'last_funding_rate' is unreadable in all 2 records"):
        parsed("binance_archive", "funding", [archived("BTCUSDT", "BTCUSDT-fundingRate-2024-01.zip", text)])


def test_a_new_column_stays_in_the_landing() -> None:
    text = b"calc_time,last_funding_rate,cap,funding_interval_hours\n1704067200013,0.0001,0.02,8\n"
    rows, _ = parsed("binance_archive", "funding", [archived("BTCUSDT", "BTCUSDT-fundingRate-2024-01.zip", text)])[
        "funding_rates"
    ]
    assert rows.select("rate", "interval_hours").rows() == [(0.0001, 8.0)]


@pytest.mark.parametrize(
    "broken",
    [
        "2024-01-01 00:10:00,BTCUSDT,x,1,1,1,1,1",
        "yesterday,BTCUSDT,1,1,1,1,1,1",
        "2024-01-01 00:10:00,BTCUSDT,,1,1,1,1,1",
        "2024-01-01 00:10:00,BTCUSDT,1,1,1,1,1,1,9",
    ],
)
def test_an_unreadable_record_is_rejected_and_the_others_stay(broken: str) -> None:
    page = metrics(
        "2024-01-01", "2024-01-01 00:05:00,BTCUSDT,1,1,1,1,1,1", broken, "2024-01-01 00:15:00,BTCUSDT,1,1,1,1,1,1"
    )
    rows, rejects = parsed("binance_archive", "um_metrics", [page])["open_interest"]
    assert rows["event_at"].dt.minute().to_list() == [5, 15]
    assert rejects.select("reason", "line", "instrument", "trade_date").rows() == [
        ("unparsable", 2, "BTCUSDT", date(2024, 1, 1))
    ]
    assert "BTCUSDT" in rejects["raw"][0]


def test_a_zip_bomb_is_refused_before_it_is_inflated() -> None:
    page = archived("BTCUSDT", "BTCUSDT-metrics-2024-01-01.zip", b"0" * (2 << 20))
    with (
        in_force(Limits(answer_unpacked_bytes=1 << 20)),
        pytest.raises(LimitError, match="unpacks to 2,097,152; the limit"),
    ):
        parsed("binance_archive", "um_metrics", [page])


def test_damage_in_a_landed_zip_is_named() -> None:
    whole = metrics("2024-01-01", "2024-01-01 00:05:00,BTCUSDT,1,1,1,1,1,1")
    torn = archived("BTCUSDT", "BTCUSDT-metrics-2024-01-01.zip", b"")
    object.__setattr__(torn, "body", whole.body[:60])
    with pytest.raises(SourceFormatError, match=r"BTCUSDT-metrics-2024-01-01.zip: unreadable zip file"):
        parsed("binance_archive", "um_metrics", [torn])


# Independence of file order and batching


@given(order=st.permutations(range(5)), twice=st.sets(st.integers(0, 4)), size=st.sampled_from([1, 40_000, 1 << 24]))
def test_order_repetition_and_grouping_of_files_change_nothing(order: list[int], twice: set[int], size: int) -> None:
    listing = emulated.BY_NAME["BTCUSDT"]
    days = [date(2026, 6, 23) + timedelta(days=n) for n in range(5)]
    pages = [archived("BTCUSDT", f"BTCUSDT-metrics-{d}.zip", emulated.metrics_text(MARKET, listing, d)) for d in days]
    shuffled = [pages[n] for n in order] + [pages[n] for n in twice]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binance_files, "BATCH_BYTES", size)
        found = parsed("binance_archive", "um_metrics", shuffled)
    for table, key in (("open_interest", ["event_at"]), ("long_short_ratios", ["event_at", "measure"])):
        rows = found[table][0].drop("_line").unique(maintain_order=True).sort(key)
        assert_frame_equal(rows, parsed("binance_archive", "um_metrics", pages)[table][0].drop("_line").sort(key))


@pytest.mark.parametrize(("name", "make"), [
    ("binance_um_metrics_raw_format.csv", lambda: emulated.metrics_text(MARKET, emulated.BY_NAME["BTCUSDT"], date(2024, 1, 1))),
    ("binance_cm_metrics_BTCUSD_PERP_2023-06-25.csv",
     lambda: emulated.metrics_text(MARKET, emulated.BY_NAME["BTCUSD_PERP"], date(2024, 1, 1))),
    ("binance_cm_liquidationSnapshot.csv",
     lambda: emulated.liquidations_text(MARKET, emulated.BY_NAME["BTCUSD_PERP"], datetime(2024, 1, 1), datetime(2024, 1, 2))),
    ("binance_option_archives.csv",
     lambda: emulated.bvol_text(MARKET, "BTCBVOLUSDT", datetime(2024, 1, 1), datetime(2024, 1, 2))),
])  # fmt: skip
def test_the_emulated_files_have_the_columns_and_kinds_of_real_ones(
    samples_dir: Path, name: str, make: Callable[[], bytes]
) -> None:
    def shape(text: bytes) -> list[list[str]]:
        header, record = [line.split(",") for line in text.decode().splitlines() if not line.startswith("#")][:2]
        return [header, ["number" if cell.replace(".", "").isdigit() else cell[:4] for cell in record]]

    (real, real_kinds), (generated, generated_kinds) = shape(sample(samples_dir, name)), shape(make())
    assert generated == real
    times = [i for i, cell in enumerate(generated_kinds) if cell.startswith("20")]
    assert [
        k for i, k in enumerate(generated_kinds) if i not in times and k not in ("BUY", "SELL", "BTCU", "ACEU")
    ] == [k for i, k in enumerate(real_kinds) if i not in times and k not in ("BUY", "SELL", "BTCU", "ACEU")]
