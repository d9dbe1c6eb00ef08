"""Hyperliquid's deployed exchanges, Aster, Lighter, edgeX, Paradex: answers in their real shapes give the right values.

Their paging, faults, fuzzed answers and whole days are in the tables that all exchanges share (venue_cases.py).
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.core.errors import BlockedError, RequestRefusedError, ThrottledError
from pipelines.extract.venue import Job, Page, Parsed, Span
from pipelines.sources import registry
from pipelines.sources.cex import cftc
from pipelines.sources.dex import aster
from pipelines.sources.dex.hyperliquid import wire as hyperliquid_wire
from tests.sources.test_evidence import AT, evidence, parsed


def sampled(samples_dir: Path, name: str, request: dict[str, Any], *, subject: str = "*", at: datetime = AT) -> Page:
    """An answer of samples/cex_more, as it was recorded."""
    return Page(subject, {"endpoint": "api", **request}, 200, at, (samples_dir / "cex_more" / name).read_bytes())


def rejected_lines(one: Parsed) -> list[int]:
    return [] if one.rejects is None else one.rejects["line"].to_list()


def states(found: list[Parsed]) -> dict[str, pl.DataFrame]:
    return {one.table: one.rows for one in found}


# Hyperliquid's deployed exchanges


def test_a_deployed_perpetual_has_the_class_and_the_settlement_of_its_exchange() -> None:
    own = Page("*", {"body": {"type": "meta"}}, 200, AT, b'{"universe":[{"name":"BTC"}]}')
    names = ("all_perp_metas", "perp_categories", "spot_meta")
    [found] = parsed(
        "hyperliquid", "instruments", own, *(evidence("hyperliquid", "instruments", name) for name in names)
    )
    columns = ("instrument", "asset", "asset_class", "quote", "multiplier")
    assert found.rows.select(columns).rows() == [
        ("BTC", "BTC", None, "USDC", 1.0),
        ("xyz:TSLA", "TSLA.STOCK", "stock", "USDC", 1.0),
        # No category: it may be anything.
        ("xyz:NEW", "NEW.OTHER", "other", "USDC", 1.0),
        ("xyz:JPY", "JPY.FOREX", "forex", "USDC", 1.0),
        ("flx:BTC", "BTC", "crypto", "USDH", 1.0),
        ("flx:kPEPE", "PEPE", "crypto", "USDH", 1000.0),
    ]
    assert found.rejects is not None
    assert found.rejects.select("reason", "field").rows() == [
        ("unparsable", "name"), ("unknown_instrument", "collateralToken"),
    ]  # fmt: skip


def test_recorded_states_of_a_deployed_exchange(samples_dir: Path) -> None:
    request = {"body": {"type": "metaAndAssetCtxs", "dex": "xyz"}}
    found = states(
        parsed(
            "hyperliquid",
            "dex_contexts",
            sampled(samples_dir, "hyperliquid_hip3/meta_and_asset_ctxs_xyz.json", request),
        )
    )
    assert found["open_interest"].select("instrument", "oi_base", "counting").row(0) == (
        "xyz:TSLA",
        120643.206,
        "unknown",
    )
    # The fourth is delisted.
    assert found["open_interest"].height == found["funding_rates"].height == 3
    of_ours = states(parsed("hyperliquid", "dex_contexts", evidence("hyperliquid", "dex_contexts", "delisted")))
    assert of_ours["open_interest"].select("instrument", "oi_base").rows() == [("xyz:TSLA", 120643.5)]


def test_recorded_funding_of_a_deployed_perpetual(samples_dir: Path) -> None:
    page = sampled(
        samples_dir,
        "hyperliquid_hip3/funding_history_xyz.json",
        {"body": {"type": "fundingHistory"}},
        subject="xyz:XYZ100",
    )
    [found] = parsed("hyperliquid", "funding", page)
    assert found.rows.select("instrument", "settled_at", "rate").rows() == [
        ("xyz:XYZ100", datetime(2026, 9, 11, 16), 0.00000625), ("xyz:XYZ100", datetime(2026, 9, 11, 17), 0.00000625),
    ]  # fmt: skip


def test_recorded_categories_are_all_known(samples_dir: Path) -> None:
    from pipelines.sources.dex.hyperliquid.dexes import CLASSES

    listed = orjson.loads((samples_dir / "cex_more/hyperliquid_hip3/perp_categories.json").read_bytes())
    told = orjson.loads((samples_dir / "cex_more/hyperliquid_hip3/perp_concise_annotations.json").read_bytes())
    found = {name.lower() for _, name in listed} | {one["category"].lower() for _, one in told}
    assert found <= set(CLASSES)


def test_an_exchange_that_is_not_known_is_named() -> None:
    page = Page("*", {"path": "/info", "body": {"type": "metaAndAssetCtxs", "dex": "vntl"}}, 200, AT, b"null")
    with pytest.raises(hyperliquid_wire.UnknownNameError, match="null response"):
        hyperliquid_wire.check(page)


# Aster


def test_aster_classes_are_tags() -> None:
    [found] = parsed("aster", "instruments", evidence("aster", "instruments", "mixed_list"))
    columns = ("instrument", "asset", "asset_class", "quote", "multiplier", "listed_at")
    day = datetime(2025, 9, 14, 6)
    assert found.rows.select(columns).rows() == [
        ("BTCUSDT", "BTC", "crypto", "USDT", 1.0, day),
        ("1000PEPEUSDT", "PEPE", "crypto", "USDT", 1000.0, day),
        ("OPENAIUSDT", "OPENAI.STOCK", "stock", "USDT", 1.0, day),
        ("SPYUSDT", "SPY.STOCK", "stock", "USDT", 1.0, day),
        ("CLUSD1", "CL.COMMODITY", "commodity", "USD1", 1.0, day),
        ("ODDUSDT", "ODD.OTHER", "other", "USDT", 1.0, day),
        ("SKHXUSDT", "SKHX.STOCK", "stock", "USDT", 1.0, None),
    ]
    assert rejected_lines(found) == [9]


def test_aster_states_and_rates() -> None:
    [interest] = parsed("aster", "open_interest", evidence("aster", "open_interest", "one", subject="BTCUSDT"))
    assert interest.rows.select("instrument", "event_at", "oi_base", "counting").rows() == [
        ("BTCUSDT", datetime(2026, 10, 1, 0, 0, 0, 123_000), 18234.125, "one_sided")
    ]
    [funding] = parsed("aster", "funding", evidence("aster", "funding", "ascending", subject="BTCUSDT"))
    assert funding.rows.select("settled_at", "rate").rows() == [
        (datetime(2026, 9, 30, 16), 0.00008093), (datetime(2026, 10, 1), -0.00006482),
    ]  # fmt: skip


def test_recorded_answers_of_aster(samples_dir: Path) -> None:
    [listed] = parsed("aster", "instruments", sampled(samples_dir, "aster/exchange_info_classes.json", {}))
    assert dict(listed.rows.select("instrument", "asset_class").rows()) == {
        "OPENAIUSDT": "stock", "RTXUSDT": "crypto", "XAUUSDT": "commodity", "SPYUSDT": "stock", "CLUSD1": "commodity",
        "SKHXUSDT": "stock",
    }  # fmt: skip
    [funding] = parsed("aster", "funding", sampled(samples_dir, "aster/funding_rate.json", {}, subject="BTCUSDT"))
    assert funding.rows["rate"].to_list() == [0.00008093, 0.00006482, 0.00004447, 0.00004761, 0.00002863]


def test_aster_refusals() -> None:
    unknown = evidence("aster", "funding", "unknown_symbol")
    aster.check(unknown)
    for code, kind in ((-1003, ThrottledError), (-1100, RequestRefusedError)):
        body = orjson.dumps({"code": code, "msg": "no"})
        with pytest.raises(kind):
            registry.venue("aster").check(Page("*", {"path": "/x"}, 200, AT, body))


# Lighter


def test_lighter_counts_active_perpetuals_once() -> None:
    [listed] = parsed("lighter", "instruments", evidence("lighter", "details", "mixed_list"))
    assert listed.rows.select("instrument", "asset", "multiplier").rows() == [
        ("BTC", "BTC", 1.0), ("1000PEPE", "PEPE", 1000.0), ("PIPPIN", "PIPPIN", 1.0), ("SOL", "SOL", 1.0),
    ]  # fmt: skip
    [found] = parsed("lighter", "details", evidence("lighter", "details", "mixed_list"))
    assert found.rows.select("instrument", "oi_base", "counting").rows() == [
        ("BTC", 2092.5, "one_sided"), ("1000PEPE", 1407378.25, "one_sided"),
    ]  # fmt: skip
    # One without a symbol, and one whose zero stands beside a volume.
    assert sorted(rejected_lines(found)) == [5, 6]


def test_lighter_days_count_both_sides() -> None:
    [found] = parsed(
        "lighter", "daily_open_interest", evidence("lighter", "daily_open_interest", "both_sides", subject="BTC")
    )
    assert found.rows.select("event_at", "oi_usd", "oi_raw", "counting", "period").rows() == [
        (datetime(2026, 9, 29), 162500000.25, 325000000.5, "halved", "1d"),
        (datetime(2026, 9, 30), 163000000.0, 326000000.0, "halved", "1d"),
    ]


def test_lighter_rates_are_percent_and_their_values_are_finer() -> None:
    pages = [
        evidence("lighter", "funding", "percent_and_value", subject="BTC"),
        evidence("lighter", "candles", "gaps", subject="BTC"),
    ]
    [found] = parsed("lighter", "funding", *pages)
    assert found.rows["rate"].to_list() == pytest.approx([0.07879940 / 77758, -0.0010 / 100])
    assert found.rows["settled_at"].to_list() == [datetime(2026, 10, 1), datetime(2026, 10, 1, 1)]
    assert rejected_lines(found) == [3]


def test_lighter_candles_fill_what_is_zero() -> None:
    page = evidence("lighter", "candles", "gaps", subject="BTC")
    later = Page(page.subject, page.request, 200, datetime(2026, 10, 1, 3), page.body)
    [found] = parsed("lighter", "candles", later)
    assert found.rows.select("opened_at", "close", "volume_base").rows() == [
        (datetime(2026, 10, 1), 77790.0, 12.5), (datetime(2026, 10, 1, 1), 77790.0, 0.0),
    ]  # fmt: skip


def test_recorded_answers_of_lighter(samples_dir: Path) -> None:
    [states_now] = parsed("lighter", "details", sampled(samples_dir, "lighter/order_book_details.json", {}))
    assert states_now.rows.select("instrument", "oi_base").rows() == [("BTC", 2092.76507)]
    page = sampled(samples_dir, "lighter/fundings_1h.json", {"path": "/api/v1/fundings"}, subject="BTC")
    [rates] = parsed("lighter", "funding", page)
    assert rates.rows["rate"].to_list() == pytest.approx([1e-5, 1e-6, 1e-6, 1e-5])
    for name in ("candles", "candles_naut"):
        [bars] = parsed("lighter", "candles", sampled(samples_dir, f"lighter/{name}.json", {}, subject="ETH"))
        assert bars.rows.height == len(orjson.loads((samples_dir / f"cex_more/lighter/{name}.json").read_bytes())["c"])


def test_lighter_refusals() -> None:
    with pytest.raises(RequestRefusedError, match="invalid market index"):
        registry.venue("lighter").check(evidence("lighter", "funding", "refused"))


# edgeX


def test_edgex_flags_shares_and_currencies() -> None:
    [found] = parsed("edgex", "instruments", evidence("edgex", "instruments", "mixed_list"))
    assert found.rows.select("instrument", "asset", "asset_class", "multiplier").rows() == [
        ("BTCUSDC", "BTC", None, 1.0), ("TSLAUSDC", "TSLA.STOCK", "stock", 1.0), ("EURUSDC", "EUR.FOREX", "forex", 1.0),
        ("1000PEPEUSDC", "PEPE", None, 1000.0),
    ]  # fmt: skip
    assert rejected_lines(found) == [5]


def test_edgex_states_and_settlements() -> None:
    one, nothing = (evidence("edgex", "ticker", name, subject="BTCUSDC") for name in ("one", "unknown_contract"))
    [interest] = parsed("edgex", "ticker", one, nothing)
    assert interest.rows.select("instrument", "oi_base", "counting").rows() == [("BTCUSDC", 3284.957, "unknown")]
    [funding] = parsed("edgex", "funding", evidence("edgex", "funding", "newest_first", subject="BTCUSDC"))
    assert funding.rows.select("settled_at", "rate", "interval_hours", "mark_price").rows() == [
        (datetime(2026, 10, 1), -0.00005067, 4.0, 77238.8), (datetime(2026, 9, 30, 20), 0.0001, 4.0, 77238.8),
    ]  # fmt: skip
    with pytest.raises(ThrottledError):
        registry.venue("edgex").check(evidence("edgex", "funding", "throttled"))


def test_recorded_answers_of_edgex(samples_dir: Path) -> None:
    [interest] = parsed("edgex", "ticker", sampled(samples_dir, "edgex/get_ticker.json", {}, subject="BTCUSDC"))
    assert interest.rows["oi_base"].to_list() == [3284.957]
    page = sampled(samples_dir, "edgex/get_funding_rate_page.json", {}, subject="BTCUSDC")
    registry.venue("edgex").check(page)
    [funding] = parsed("edgex", "funding", page)
    assert funding.rows["rate"].to_list() == [-0.00005067, -0.0000522, -0.00005842]


# Paradex


def test_paradex_classes_are_tags() -> None:
    [found] = parsed("paradex", "instruments", evidence("paradex", "instruments", "mixed_list"))
    assert found.rows.select("instrument", "asset", "asset_class", "quote").rows() == [
        ("BTC-USD-PERP", "BTC", "crypto", "USD"),
        ("XAG-USD-PERP", "XAG.COMMODITY", "commodity", "USD"),
        ("META-USD-PERP", "META.STOCK", "stock", "USD"),
        ("EUR-USD-PERP", "EUR.FOREX", "forex", "USD"),
        ("BODEN-USD-PERP", "BODEN", None, "USD"),
    ]
    assert found.rows["listed_at"].to_list()[-1] is None
    assert rejected_lines(found) == [8]


def test_paradex_states_are_those_of_full_hours() -> None:
    [now] = parsed("paradex", "summary", evidence("paradex", "summary", "with_options"))
    assert now.rows.select("instrument", "oi_base", "counting").rows() == [("BTC-USD-PERP", 50.4599, "unknown")]
    page = evidence("paradex", "open_interest", "minute_before_the_hour", subject="BTC-USD-PERP")
    [past] = parsed("paradex", "open_interest", page)
    assert past.rows.select("event_at", "oi_base", "period").rows() == [(datetime(2026, 10, 1), 50.25, "1h")]


def test_paradex_funding_is_what_the_index_rose_by() -> None:
    pages = [evidence("paradex", "funding", name, subject="BTC-USD-PERP") for name in ("index", "marks")]
    [found] = parsed("paradex", "funding", *pages)
    assert found.rows.select("settled_at", "rate", "interval_hours", "mark_price").rows() == [
        (datetime(2026, 10, 1), 1.5 / 75000.0, 1.0, 75000.0)
    ]
    # The first hour has none before it.
    assert rejected_lines(found) == [3]


def test_paradex_liquidations_are_marked_among_trades() -> None:
    [found] = parsed(
        "paradex", "liquidations", evidence("paradex", "liquidations", "among_trades", subject="BTC-USD-PERP")
    )
    assert found.rows.select("liquidation_id", "side", "quantity_base").rows() == [
        ("2", "long", 0.026),
        ("3", "short", 1.5),
    ]
    assert rejected_lines(found) == [4]


def test_recorded_answers_of_paradex(samples_dir: Path) -> None:
    [now] = parsed("paradex", "summary", sampled(samples_dir, "paradex/markets_summary.json", {}))
    assert now.rows.select("instrument", "oi_base").rows() == [("BTC-USD-PERP", 50.4599), ("ETH-USD-PERP", 1252.1354)]
    [listed] = parsed("paradex", "instruments", sampled(samples_dir, "paradex/markets.json", {}))
    assert listed.rows["instrument"].to_list() == ["BODEN-USD-PERP"]
    [trades] = parsed(
        "paradex", "liquidations", sampled(samples_dir, "paradex/trades.json", {}, subject="BTC-USD-PERP")
    )
    assert trades.rows.is_empty()
    [bars] = parsed("paradex", "candles", sampled(samples_dir, "paradex/klines.json", {}, subject="BTC-USD-PERP"))
    assert bars.rows["close"].to_list() == [58961.3]
    index = sampled(samples_dir, "paradex/funding_data.json", {"path": "/v1/funding/data"}, subject="BTC-USD-PERP")
    [funding] = parsed("paradex", "funding", index)
    assert rejected_lines(funding) == [1]


def test_paradex_refuses_some_countries() -> None:
    with pytest.raises(BlockedError, match="permitted region"):
        registry.venue("paradex").check(evidence("paradex", "instruments", "blocked"))


# CFTC's report


def test_contracts_of_the_weekly_report_are_coins() -> None:
    [found] = parsed("cftc", "open_interest", evidence("cftc", "open_interest", "two_weeks"))
    assert found.rows.select("venue", "instrument", "event_at", "oi_base", "available_at").rows() == [
        ("cme", "133741", datetime(2026, 9, 16), 122_500.0, datetime(2026, 9, 18, 20, 30)),
        ("cme", "133742", datetime(2026, 9, 16), pytest.approx(1100.0), datetime(2026, 9, 18, 20, 30)),
        ("cme", "133741", datetime(2026, 9, 23), 125_000.0, datetime(2026, 9, 25, 20, 30)),
    ]
    # Another exchange's, one without a date, one without a figure.
    assert sorted(rejected_lines(found)) == [4, 5, 6]
    with pytest.raises(RequestRefusedError, match="Unrecognized"):
        registry.venue("cftc").check(evidence("cftc", "open_interest", "refused"))


def test_a_tuesday_without_a_report_is_asked_for_again() -> None:
    page = evidence("cftc", "open_interest", "two_weeks")
    weeks = Job("*", Span.of_days(date(2026, 9, 14), date(2026, 9, 27)))
    longer = Job("*", Span.of_days(date(2026, 9, 14), date(2026, 9, 29)))
    assert not cftc.lacks_weeks([page], weeks)
    assert cftc.lacks_weeks([page], longer)
