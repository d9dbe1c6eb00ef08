"""Answers in the venues' real shapes (tests/evidence) give the right values: mixed lists, odd records, amounts, asset classes."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.core.errors import NoLongerAvailableError, SourceFormatError
from pipelines.core.settings import Settings
from pipelines.core.universe import choose_universe
from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.sources import registry
from pipelines.sources.cex.bybit.capture import base_coins
from pipelines.sources.cex.okx import wire
from pipelines.sources.instruments import SCHEMA, InstrumentHistory
from pipelines.sources.records import Field, at_path, read_records, stamps_of

EVIDENCE = Path(__file__).resolve().parents[1] / "evidence"
AT = datetime(2026, 10, 1)
EVER = Span(datetime(2000, 1, 1), datetime(2100, 1, 1))
SYMBOL_AND_SIZE = (Field("symbol", "symbol", str), Field("size", "size", float))


def evidence(venue: str, feed: str, case: str, *, subject: str = "*") -> Page:
    told = orjson.loads((EVIDENCE / venue / feed / f"{case}.json").read_bytes())
    return Page(subject, told["request"], 200, AT, orjson.dumps(told["answer"]))


def parsed(venue: str, feed: str, *pages: Page, instruments: pl.DataFrame | None = None) -> list[Parsed]:
    known = InstrumentHistory.none() if instruments is None else instruments
    return list(registry.venue(venue).feed(feed).parse(pages, Context(venue, AT, EVER, known)))


def contract(venue: str, instrument: str, **facts: Any) -> pl.DataFrame:
    return pl.DataFrame([{**dict.fromkeys(SCHEMA), "venue": venue, "instrument": instrument, **facts}], schema=SCHEMA)


def records(*answers: list[dict[str, Any]], path: str = "/list") -> list[Page]:
    return [Page("*", {"endpoint": "api", "path": path}, 200, AT, orjson.dumps(answer)) for answer in answers]


def test_an_index_is_ignored_and_a_perpetual_without_a_size_is_named() -> None:
    [found] = parsed("kraken", "instruments", evidence("kraken", "instruments", "mixed_list"))
    assert found.rows["instrument"].to_list() == ["PF_XBTUSD"]
    assert found.rejects is not None
    assert found.rejects.select("line", "field", "detail").rows() == [(3, "contractSize", "contractSize is missing")]


def test_a_combo_without_expiration_leaves_the_options_readable() -> None:
    listed = evidence("deribit", "option_chain", "mixed_list")
    combo, option = {"instrument_name": "BTC-CS-28JUL23-29000_31000"}, {"instrument_name": "BTC-28JUL23-29000-C"}
    answer = orjson.dumps({"result": [combo, {**option, "open_interest": 2.5}]})
    page = Page("*", {"endpoint": "api", "path": "/api/v2/public/get_book_summary_by_currency"}, 200, AT, answer)
    [found] = parsed("deribit", "option_chain", page, listed)
    assert found.rows.select("instrument", "strike", "oi_base").rows() == [("BTC-28JUL23-29000-C", 29_000.0, 2.5)]
    assert found.rejects is not None and found.rejects.is_empty()


def test_a_list_is_refused_only_if_no_record_has_the_field() -> None:
    odd, good = {"symbol": "A"}, {"symbol": "B", "size": 1}
    found = read_records(records([odd], [good]), at_path(), SYMBOL_AND_SIZE)
    assert (found.frame["symbol"].to_list(), found.rejects["field"].to_list()) == (["B"], ["size"])
    with pytest.raises(SourceFormatError, match="missing field 'size'"):
        read_records(records([odd, odd], [odd]), at_path(), SYMBOL_AND_SIZE)
    with pytest.raises(SourceFormatError, match="missing field 'size'"):
        read_records([*records([odd]), *records([good], path="/other")], at_path(), SYMBOL_AND_SIZE)


def test_a_nested_cell_and_a_null_record_reject_one_row() -> None:
    page = Page("*", {"path": "/list"}, 200, AT, b'[null,{"symbol":"A","size":[1]},{"symbol":"B","size":"2"}]')
    found = read_records([page], at_path(), SYMBOL_AND_SIZE)
    assert found.frame.select("symbol", "size").rows() == [("B", 2.0)]
    assert found.rejects["line"].to_list() == [1, 2]


def test_a_record_without_a_stamp_is_counted_and_does_not_end_the_paging() -> None:
    [page] = records([{"t": 5}, {}, {"t": 7}])
    assert stamps_of(at_path(), "t")(page) == [5, 5, 7]
    with pytest.raises(SourceFormatError, match="expected an integer"):
        stamps_of(at_path(), "t")(records([{}])[0])


BITCOIN_AT_GATE = contract("gate", "BTC_USDT", contract_type="linear", contract_size=0.0001, contract_size_unit="base")


def test_a_position_closed_in_steps_is_liquidated_once() -> None:
    [found] = parsed("gate", "liq_orders", evidence("gate", "liq_orders", "three_steps"), instruments=BITCOIN_AT_GATE)
    # 600 contracts, 50 of them not filled; the sum of `size` is 1,200.
    assert found.rows["quantity_base"].sum() == pytest.approx(550 * 0.0001)
    assert found.rows["side"].unique().to_list() == ["long"]


def test_a_liquidated_position_has_its_price_and_notional() -> None:
    [found] = parsed("orderly", "liquidations", evidence("orderly", "liquidations", "liquidated_positions"))
    row = found.rows.row(0, named=True)
    assert (row["price"], round(row["notional_usd"], 2), row["side"]) == (2688.29, 245.71, "long")


def test_gate_counts_both_sides_since_2026_and_it_is_unknown_when_it_began() -> None:
    page = evidence("gate", "contract_stats", "both_sides", subject="BTC_USDT")
    interest = parsed("gate", "contract_stats", page, instruments=BITCOIN_AT_GATE)[0].rows
    assert interest["counting"].to_list() == ["one_sided", "unknown", "halved"]
    assert interest["oi_base"].to_list() == pytest.approx([30_000.0001, 40_000.0001, 32_385.1657])
    assert interest["oi_usd"].to_list() == pytest.approx([600_000_002, 2_600_000_006, 2_510_288_191.6])
    # position_size, which counts one side, was 291,601,316 contracts the day after.
    assert 1 / 1.5 < interest["oi_base"][-1] / (291_601_316 * 0.0001) < 1.5


def test_the_regular_rate_is_the_rate_and_a_special_payment_is_kept_apart() -> None:
    found = parsed("binance", "funding", evidence("binance", "funding", "rate_types", subject="BTCUSDT"))
    rows = pl.concat([one.rows for one in found])
    assert rows.select("kind", "rate", "settled_at").rows() == [
        ("settled", 0.0001, datetime(2026, 10, 1)),
        ("special", 0.0025, datetime(2026, 10, 1)),
    ]
    assert [one.rejects["line"].to_list() for one in found if one.rejects is not None] == [[3]]


def test_gate_stamps_are_rounded_to_the_settlement() -> None:
    [found] = parsed("gate", "funding_rate", evidence("gate", "funding_rate", "late_stamps", subject="BTC_USDT"))
    hours = [stamp.time().isoformat() for stamp in found.rows["settled_at"]]
    assert hours == ["00:00:00", "16:00:00", "08:00:00"]


@pytest.mark.parametrize(
    ("venue", "expected"),
    [
        (
            "bybit",
            {
                "BTC": "crypto",
                "NET.STOCK": "stock",
                "XAU.COMMODITY": "commodity",
                "EURUSD.FOREX": "forex",
                "龙": "crypto",
            },
        ),
        ("binance", {"NET": "crypto", "TSLA.STOCK": "stock", "ABC.OTHER": "other"}),
        ("okx", {"BTC": "crypto", "MUU.STOCK": "stock"}),
        ("gate", {"BTC": "crypto", "TSLAX.STOCK": "stock", "ODD.OTHER": "other"}),
        ("kraken", {"BTC": "crypto"}),
    ],
)
def test_an_asset_that_is_no_coin_has_its_class_in_its_name(venue: str, expected: dict[str, str]) -> None:
    [found] = parsed(venue, "instruments", evidence(venue, "instruments", "mixed_list"))
    assert dict(found.rows.select("asset", "asset_class").rows()) == expected
    never = found.rows.filter(pl.col("listed_at") < datetime(1971, 1, 1))
    assert never.is_empty()


def test_the_universe_is_of_coins() -> None:
    traded = {"BTCUSDT": 9e9, "NETUSDT": 6e9, "XAUUSDT": 2.1e9, "EURUSDUSDT": 1e8, "SOLUSDT": 2e9}
    tickers = [{"symbol": symbol, "turnover24h": str(amount)} for symbol, amount in traded.items()]
    answer = orjson.dumps({"retCode": 0, "result": {"category": "linear", "list": tickers}})
    page = Page("*", {"endpoint": "api", "path": "/v5/market/tickers"}, 200, AT, answer)
    ranked = registry.venue("bybit").turnover
    assert ranked is not None
    ranking = ranked([page, evidence("bybit", "instruments", "mixed_list")])
    assert ranking == {"BTC": 9e9, "SOL": 2e9}
    assert choose_universe([ranking]) == ("BTC", "SOL", "AVAX")


def test_a_ranking_without_a_list_of_contracts_is_held_against_the_instruments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captures before 2026-11 have tickers only."""
    traded = {"BTCUSDT": 9e9, "NETUSDT": 6e9, "XAUUSDT": 2.1e9, "EURUSDUSDT": 1e8, "SOLUSDT": 2e9, "TSLAUSDT": 4e8}
    tickers = [{"symbol": symbol, "turnover24h": str(amount)} for symbol, amount in traded.items()]
    page = page_of("/v5/market/tickers", {"retCode": 0, "result": {"category": "linear", "list": tickers}})
    assets = ("BTC", "SOL", "NET", "NET.STOCK", "XAU.COMMODITY", "EURUSD.FOREX", "TSLA.STOCK")
    listed = pl.concat(contract("bybit", asset, asset=asset) for asset in assets)
    capture: Any = SimpleNamespace(partition="2026-10-01", path=Path("ranking"), fetched_at=AT)
    store: Any = SimpleNamespace(current=lambda source: [capture])
    monkeypatch.setattr(registry, "Pack", lambda path: SimpleNamespace(pages=lambda: [page]))
    monkeypatch.setattr(
        registry, "instrument_history", lambda store, venue: InstrumentHistory(lambda: [(capture, listed)])
    )
    assert registry.followed_assets(store, Settings()) == ("BTC", "NET", "SOL", "AVAX")


def page_of(path: str, answer: object) -> Page:
    return Page("*", {"endpoint": "api", "path": path}, 200, AT, orjson.dumps(answer))


def test_bitfinex_codes_are_read_as_the_coins_behind_them() -> None:
    listed = page_of("/v2/conf/pub:list:pair:futures", [["ALGF0:USTF0", "BTCF0:USTF0"]])
    codes = page_of("/v2/conf/pub:map:currency:sym", [[["ALG", "ALGO"], ["ATO", "ATOM"]]])
    [found] = parsed("bitfinex", "instruments", listed, codes)
    assert found.rows.select("instrument", "asset").rows() == [("tALGF0:USTF0", "ALGO"), ("tBTCF0:USTF0", "BTC")]


def test_bybit_option_coins_are_read_once_each_and_only_with_options() -> None:
    coin = {"baseCoin": "BTC", "quoteCoin": "USDT", "hasSymbol": 1, "underlyingType": 0}
    listed = [
        coin,
        coin | {"quoteCoin": "USDC"},
        coin | {"baseCoin": "XRP", "hasSymbol": 0},
        coin | {"baseCoin": "MNT"},
    ]
    page = page_of("/v5/market/option-base-coins", {"retCode": 0, "result": {"list": listed}})
    assert base_coins(page) == ["BTC", "MNT"]


def test_gate_is_asked_for_decimal_sizes_and_reads_them() -> None:
    assert registry.venue("gate").headers == {"X-Gate-Size-Decimal": "1"}
    order = {"time": 1788480000, "contract": "BTC_USDT", "size": "0.5", "order_size": "-0.5", "left": "0.1"}
    page = page_of("/futures/usdt/liq_orders", [order | {"order_price": "77000", "fill_price": "77010"}])
    [found] = parsed("gate", "liq_orders", page, instruments=BITCOIN_AT_GATE)
    assert found.rows["quantity_base"].to_list() == pytest.approx([0.4 * 0.0001])


def test_a_period_that_is_refused_as_too_old_falls_to_the_next() -> None:
    asked: list[str] = []

    async def get(period: str, first: int, last: int) -> Page:
        asked.append(period)
        too_old = period == "5m"
        told: dict[str, Any] = {"code": "0", "data": [[str(last)]]}
        if too_old:
            told = {"code": "50030", "msg": "Illegal time range", "data": []}
        page = Page("BTC", {"endpoint": "api", "path": "/x", "params": {}}, 200, AT, orjson.dumps(told))
        wire.check(page)
        return page

    async def every(*periods: str) -> list[Page]:
        hour = 3_600_000
        found = wire.finest_available_interval(get, wire.stamps(0), start=0, end=hour, periods=periods)
        return [page async for page in found]

    assert len(asyncio.run(every("5m", "1H"))) == 1
    assert asked == ["5m", "1H"]
    with pytest.raises(NoLongerAvailableError, match="50030"):
        asyncio.run(every("5m"))


def test_gate_tells_its_positions_beside_the_statistics() -> None:
    known = pl.concat(
        contract("gate", name, contract_type="linear", contract_size=size, contract_size_unit="base")
        for name, size in (("BTC_USDT", 0.0001), ("ETH_USDT", 0.01), ("DEAD_USDT", 1.0), ("NEW_USDT", 1.0))
    )
    [found] = parsed(
        "gate", "current_open_interest", evidence("gate", "current_open_interest", "positions"), instruments=known
    )
    assert found.rows.select("instrument", "oi_base", "counting").rows() == [
        ("BTC_USDT", pytest.approx(32_044.3501), "one_sided"), ("ETH_USDT", pytest.approx(12.505), "one_sided"),
    ]  # fmt: skip
    assert found.rejects is not None
    assert sorted(found.rejects.select("instrument", "reason").rows()) == [
        ("DEAD_USDT", "sentinel"), ("TSLAX_USDT", "unknown_instrument"),
    ]  # fmt: skip
