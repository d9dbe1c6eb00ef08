"""Every recorded sample against its emulator's response: the same fields, with the same JSON types and text formats.

A parser that reads the emulator therefore also reads the sample. A sample without a row here fails until it gets a row or a
reason for having none.
"""

from __future__ import annotations

import csv
import importlib
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from pipelines.sandbox.emulator import Request, Route, module_of
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel
from pipelines.sandbox.venues.evm import ChainMarket, Log

NOW: Final = datetime(2024, 3, 10, 6)
SINGLE_INTEREST: Final = datetime(2026, 6, 12)
"""A day after the first day with Bybit's singleOpenInterest."""

FILLED: Final = datetime(2025, 11, 1)
"""After the sampled fills of Hyperliquid."""

Pick = Callable[[Any], Any]


def whole(content: Any) -> Any:
    """The whole content."""
    return content


def at(*path: str | int) -> Pick:
    """The value at `path`, a sequence of keys and indices."""

    def pick(content: Any) -> Any:
        for step in path:
            content = content[step]
        return content

    return pick


@dataclass(frozen=True)
class Row:
    """A sample and the request whose response must match it.

    `sampled` selects the compared part of the file, `answered` that of the response. `newer` are fields added since the sample was
    taken or present in other responses of the venue; `older` are fields that responses to our requests do not have.
    """

    sample: str
    venue: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = "api"
    sampled: Pick = whole
    answered: Pick = whole
    newer: frozenset[str] = frozenset()
    older: frozenset[str] = frozenset()
    body: Any = None
    now: datetime = NOW
    model: MarketModel = field(default_factory=AnalyticMarket, repr=False)

    def __str__(self) -> str:
        return f"{self.sample}{self.path}"


def rows_of_zip(body: bytes) -> list[dict[str, str]]:
    """The records of the one CSV in an archive, by its header."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return rows_of_csv(archive.read(archive.namelist()[0]))


def rows_of_csv(body: bytes) -> list[dict[str, str]]:
    lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def lines_of(body: bytes) -> list[Any]:
    return [orjson.loads(line) for line in body.splitlines()]


DAY: Final = {"startTime": "1709942400000", "endTime": "1709992800000"}
SECONDS: Final = {"from": "1709683200", "to": "1709686800"}
ARCHIVED: Final = "/data/futures/{}/daily/{}/{}/{}-{}-{}.zip"


def data(name: str, sample: str, **more: Any) -> Row:
    """A series of Binance's /futures/data."""
    return Row(
        f"cex/binance_fapi_{sample}.json", "binance", f"/futures/data/{name}", endpoint="fapi",
        params={"symbol": "BTCUSDT", "period": "5m", **DAY}, **more,
    )  # fmt: skip


def archive(sample: str, market: str, kind: str, symbol: str, day: str) -> Row:
    return Row(
        f"cex/{sample}", "binance_archive", ARCHIVED.format(market, kind, symbol, symbol, kind, day), endpoint="archive",
        sampled=rows_of_csv, answered=rows_of_zip, now=datetime(2026, 11, 1),
    )  # fmt: skip


def bybit(sample: str, path: str, **params: str) -> Row:
    return Row(f"cex/{sample}", "bybit", f"/v5/market/{path}", params, now=SINGLE_INTEREST)


def okx(sample: str, path: str, sampled: Pick = whole, newer: Sequence[str] = (), **params: str) -> Row:
    return Row(f"cex/{sample}", "okx", f"/api/v5/{path}", params, sampled=sampled, newer=frozenset(newer))


def hyperliquid(sample: str, place: int, **body: Any) -> Row:
    return Row(
        f"onchain/hyperliquid/{sample}", "hyperliquid", "/info", body=body,
        sampled=at("interactions", place, "response"),
        newer=frozenset({"isDelisted", "marginTableId", "marginTables", "collateralToken"}),
    )  # fmt: skip


RECENT: Final = {"startTime": 1_710_000_000_000, "endTime": 1_710_050_000_000}
HOUR_OF_ETHER: Final = {
    "currency": "ETH",
    "kind": "future",
    "start_timestamp": "1710046800000",
    "end_timestamp": "1710050400000",
}
SERIES: Final = {"instId": "BTC-USDT-SWAP", "period": "5m"}
POOL: Final = "0x794a61358d6845594f94dc1db02a252b5b4814ad"
EVENT: Final = "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"


def chain(topics: int) -> ChainMarket:
    """A chain with one event with that many topics."""
    more = tuple(f"0x{number:064x}" for number in range(1, topics))
    return ChainMarket(logs=[Log(1000, 3, POOL, (EVENT, *more), f"0x{7:064x}")])


def receipt(name: str, topics: int) -> Row:
    """A log in a node's response. Newer nodes add the block time."""
    wanted = {"address": [POOL], "fromBlock": "0x0", "toBlock": "0x7d0", "topics": [[EVENT]]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [wanted]}
    return Row(
        f"onchain/evm_logs/{name}.json", "evm_avalanche", "", endpoint="rpc", body=request, model=chain(topics),
        sampled=at("logs"), answered=at("result"), newer=frozenset({"blockTimestamp"}),
    )  # fmt: skip


ROWS: Final = (
    archive("binance_cm_liquidationSnapshot.csv", "cm", "liquidationSnapshot", "BTCUSD_PERP", "2024-03-05"),
    archive("binance_cm_metrics_BTCUSD_PERP_2023-06-25.csv", "cm", "metrics", "BTCUSD_PERP", "2023-06-25"),
    archive("binance_um_metrics_BTCUSDT_2023-11-14.csv", "um", "metrics", "BTCUSDT", "2023-11-14"),
    archive("binance_um_metrics_raw_format.csv", "um", "metrics", "BTCUSDT", "2025-01-21"),
    Row("cex/binance_option_archives.csv", "binance_archive",
        "/data/option/daily/BVOLIndex/BTCBVOLUSDT/BTCBVOLUSDT-BVOLIndex-2026-08-08.zip", endpoint="archive",
        sampled=rows_of_csv, answered=rows_of_zip, now=datetime(2026, 11, 1)),
    Row("cex/binance_dapi_exchangeInfo_excerpt.json", "binance", "/dapi/v1/exchangeInfo", endpoint="dapi",
        sampled=at("symbols"), answered=at("symbols")),
    Row("cex/binance_fapi_exchangeInfo_excerpt.json", "binance", "/fapi/v1/exchangeInfo", endpoint="fapi",
        sampled=at("symbols"), answered=at("symbols")),
    Row("cex/binance_eapi_openInterest.json", "binance", "/eapi/v1/openInterest", endpoint="eapi",
        params={"underlyingAsset": "ETH", "expiration": "240311"}),
    Row("cex/binance_fapi_funding_rate.json", "binance", "/fapi/v1/fundingRate", endpoint="fapi",
        params={"symbol": "BTCUSDT", **DAY}, newer=frozenset({"markPrice"})),
    data("globalLongShortAccountRatio", "global_long_short_account_ratio"),
    Row("cex/binance_fapi_klines.json", "binance", "/fapi/v1/klines", endpoint="fapi",
        params={"symbol": "BTCUSDT", "interval": "1h", **DAY}),
    Row("cex/binance_fapi_open_interest.json", "binance", "/fapi/v1/openInterest", endpoint="fapi",
        params={"symbol": "BTCUSDT"}),
    data("openInterestHist", "open_interest_historical"),
    Row("cex/binance_fapi_premium_index.json", "binance", "/fapi/v1/premiumIndex", endpoint="fapi",
        params={"symbol": "BTCUSDT"}),
    data("takerlongshortRatio", "taker_long_short_ratio"),
    data("topLongShortAccountRatio", "top_long_short_account_ratio"),
    data("topLongShortPositionRatio", "top_long_short_position_ratio"),
    # The sampled amount happens to be an integer.
    Row("cex/bitfinex_liquidations_hist.json", "bitfinex", "/v2/liquidations/hist", answered=at(1, 0),
        sampled=lambda content: [float(cell) if place == 5 else cell for place, cell in enumerate(content[0][0])],
        params={"start": "1709683200000", "sort": "1"}),
    Row("cex/bitfinex_status_deriv_hist.json", "bitfinex", "/v2/status/deriv/tBTCF0:USTF0/hist"),
    Row("cex/bybit_funding_history.json", "bybit", "/v5/market/funding/history",
        {"category": "linear", "symbol": "BTCUSDT"}, newer=frozenset({"retExtInfo"})),
    bybit("bybit_v5_history_fund_rate.json", "funding/history", category="linear", symbol="BTCUSDT"),
    bybit("bybit_v5_kline.json", "kline", category="inverse", symbol="BTCUSD", interval="60"),
    bybit("bybit_v5_long_short_ratio.json", "account-ratio", category="linear", symbol="BTCUSDT", period="1h"),
    bybit("bybit_v5_open_interest.json", "open-interest", category="inverse", symbol="BTCUSD", intervalTime="5min"),
    Row("cex/bybit_v5_tickers.json", "bybit", "/v5/market/tickers", {"category": "inverse"}),
    Row("cex/coinalyze_liquidation_history_1min.csv", "coinalyze", "/liquidation-history",
        {"symbols": "BTCUSDT_PERP.3", "interval": "daily", **SECONDS},
        sampled=lambda body: [{name: float(cell) if name != "t" else int(cell) for name, cell in row.items()}
                              for row in rows_of_csv(body)],
        answered=at(0, "history")),
    Row("cex/deribit_get_instruments.json", "deribit", "/api/v2/public/get_instruments",
        {"currency": "BTC", "kind": "option"}, sampled=at("result", 0), answered=at("result", 0)),
    Row("cex/deribit_get_instruments.json", "deribit", "/api/v2/public/get_instruments",
        {"currency": "BTC", "kind": "future"}, sampled=at("result", 2), answered=at("result", 0)),
    Row("cex/deribit_get_last_trades.json", "deribit", "/api/v2/public/get_last_trades_by_currency_and_time",
        # `id` belongs to JSON-RPC requests; ours are GET requests.
        HOUR_OF_ETHER, endpoint="history", newer=frozenset({"liquidation"}), older=frozenset({"id"})),
    Row("cex/gate_contract_stats.json", "gate", "/futures/usdt/contract_stats",
        {"contract": "BTC_USDT", "interval": "5m", **SECONDS}),
    Row("cex/gate_futures_usdt_contracts.json", "gate", "/futures/usdt/contracts", sampled=at("data"),
        newer=frozenset({"contract_type"})),
    Row("cex/gate_liq_orders.json", "gate", "/futures/usdt/liq_orders", SECONDS, newer=frozenset({"order_size"})),
    Row("cex/krakenfutures_charts_candles_trade.json", "kraken", "/api/charts/v1/trade/PI_XBTUSD/1h", SECONDS),
    Row("cex/krakenfutures_historical_funding_rates.json", "kraken", "/derivatives/api/v4/historicalfundingrates",
        {"symbol": "PF_XBTUSD"}),
    Row("cex/krakenfutures_instruments.json", "kraken", "/derivatives/api/v3/instruments", sampled=at("data", 0),
        answered=lambda answer: next(x for x in answer["instruments"] if x["symbol"] == "PI_XBTUSD"),
        newer=frozenset({"openingDate"})),
    Row("cex/krakenfutures_tickers.json", "kraken", "/derivatives/api/v3/tickers"),
    okx("okx_candles.json", "market/history-candles", instId="BTC-USDT-SWAP", bar="1H"),
    okx("okx_funding_rate_history.json", "public/funding-rate-history", newer=("formulaType", "method"),
        instId="BTC-USDT-SWAP"),
    Row("cex/okx_instruments_swap.json", "okx", "/api/v5/public/instruments", {"instType": "SWAP"},
        sampled=at("data"), answered=at("data"), newer=frozenset({"instFamily"})),
    Row("cex/okx_liquidation_orders.json", "okx", "/api/v5/public/liquidation-orders",
        {"instType": "SWAP", "instFamily": "BTC-USDT"}, sampled=at("data"), answered=at("data"),
        # The sample is a websocket push; responses have this field too.
        newer=frozenset({"totalLoss"})),
    okx("okx_opt_summary.json", "public/opt-summary", instFamily="BTC-USD", newer=("delta", "deltaBS")),
    okx("okx_rubik_and_oi.json", "rubik/stat/contracts/open-interest-history", at("_open_interest_history"), **SERIES),
    okx("okx_rubik_and_oi.json", "rubik/stat/contracts/long-short-account-ratio", at("_long_short_account_ratio"),
        ccy="BTC", period="5m"),
    okx("okx_rubik_and_oi.json", "public/funding-rate-history", at("_funding_rate_history"), instId="BTC-USD-SWAP"),
    okx("okx_rubik_and_oi.json", "public/open-interest", at("_public_open_interest"), ("oiUsd",), instFamily="BTC-USD"),
    Row("onchain/dydx/trades_liquidated_live_2026-09-17.json", "dydx", "/trades/perpetualMarket/BTC-USD",
        {"limit": "3"}, sampled=at("response")),
    *(receipt(f"aave_{version}_liquidation", 4) for version in ("v1", "v2", "v3")),
    *(receipt(f"compound_v2_{name}", 1) for name in ("liquidate", "liquidation_eth", "liquidator_side")),
    hyperliquid("candle_snapshot.json", 1, type="candleSnapshot", req={"coin": "kPEPE", "interval": "1h", **RECENT}),
    hyperliquid("funding_history_2023_05.json", 1, type="fundingHistory", coin="BTC", **RECENT),
    hyperliquid("meta_info.json", 0, type="meta"),
    Row("onchain/hyperliquid/fills_with_liquidation.json", "hyperliquid_fills", "/20251010/9", endpoint="node",
        # The first line of the emulator has an ordinary fill. cloid is optional.
        sampled=at(0, "line"), answered=lambda body: lines_of(body)[1], older=frozenset({"cloid"}), now=FILLED),
    Row("onchain/orderly/public_liquidation_doc_sample.json", "orderly", "/v1/public/liquidated_positions",
        {"start_t": "1709942400000", "end_t": "1710028800000"}, sampled=at("response"),
        # The sample is of /v1/public/liquidation, whose positions have no price.
        newer=frozenset({"transfer_price", "cost_position_transfer"})),
)  # fmt: skip

VENDOR: Final = "a vendor's own format, which no source reads"
PUSHED: Final = "pushed over a websocket; recordings of it are imported as files (sources/files/vendors)"
NOT_EMULATED: Final = "no source reads this venue"

WITHOUT: Final[Mapping[str, str]] = {
    "cex/PROVENANCE.md": "provenance of the samples",
    "cex/binance_um_forceOrder_capture_2023-12-07.csv": PUSHED,
    "cex/binance_ws_forceOrder_2022-04-25.jsonl": PUSHED,
    "cex/bitmex_instrument_active_XBTUSD.json": NOT_EMULATED,
    "cex/bitmex_trade_bucketed.json": NOT_EMULATED,
    "cex/bitmex_ws_funding.json": NOT_EMULATED,
    "cex/bitmex_ws_liquidation.json": NOT_EMULATED,
    "cex/bybit_ws_liquidations.jsonl": PUSHED,
    "cex/deribit_get_last_trades_historical.json": "trades of futures combos, which are identified by name only",
    "cex/deribit_options_chain_tardis.csv": VENDOR,
    "cex/htx_liquidation_orders.json": NOT_EMULATED,
    "cex/htx_swap_contract_info.json": NOT_EMULATED,
    "cex/okx_lsratio_1h_2026-08.csv": "a table derived from the account ratio",
    "cex/tardis_derivative_ticker.csv": VENDOR,
    "onchain/sqd/aave_v3_query.json": "a query; used by test_every_field_of_a_query_is_returned",
    "onchain/sqd/hyperliquid_fills_query.json": "a query; used by test_every_field_of_a_fill_query_is_returned",
}


WITHOUT_FOLDERS: Final[Mapping[str, str]] = {
    "cex_more": "excerpts with fields cut; read in place by test_more_venues.py and test_more_dexes.py in tests/sources",
    "streams": PUSHED,
    "vendor_files": "files of vendors, for imports",
}
"""Folders of samples none of which is compared."""


def test_every_sample_has_a_row_or_a_reason_for_none(samples_dir: Path) -> None:
    found = (path.relative_to(samples_dir) for path in samples_dir.rglob("*") if path.is_file())
    samples = {str(path) for path in found if path.parts[0] not in WITHOUT_FOLDERS}
    compared = {row.sample for row in ROWS}
    assert compared & set(WITHOUT) == set()
    assert samples == compared | set(WITHOUT)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_emulator_matches_the_sample(row: Row, samples_dir: Path) -> None:
    body = (samples_dir / row.sample).read_bytes()
    real = row.sampled(body if row.sampled is rows_of_csv or row.sample.endswith(".csv") else orjson.loads(body))
    found = list(differences(_annotated(real), row.answered(ask(row)), row))
    assert found == []


def test_every_field_of_a_query_is_returned(samples_dir: Path) -> None:
    query = orjson.loads((samples_dir / "onchain" / "sqd" / "aave_v3_query.json").read_bytes())
    query |= {"fromBlock": 900, "toBlock": 1100}
    row = Row(
        "", "evm_avalanche", "/finalized-stream", endpoint="portal", body=query, model=chain(1), answered=lines_of
    )
    block = next(block for block in lines_of(ask(row)) if "logs" in block)
    assert block["header"].keys() == query["fields"]["block"].keys()
    [log] = block["logs"]
    assert log.keys() == query["fields"]["log"].keys()


def test_every_field_of_a_fill_query_is_returned(samples_dir: Path) -> None:
    query = orjson.loads((samples_dir / "onchain" / "sqd" / "hyperliquid_fills_query.json").read_bytes())
    query["toBlock"] = query["fromBlock"] + 300_000
    row = Row(
        "", "hyperliquid_fills", "/finalized-stream", endpoint="portal", body=query, now=FILLED, answered=lines_of
    )
    block = next(block for block in lines_of(ask(row)) if "fills" in block)
    assert block["header"].keys() == query["fields"]["block"].keys()
    assert {name for fill in block["fills"] for name in fill} == query["fields"]["fill"].keys()


@pytest.mark.parametrize(
    ("real", "ours", "message"),
    [
        ({"a": 1}, {}, "$.a: is missing in the response"),
        ({}, {"a": 1}, "$.a: is not in the sample"),
        ({"a": [{"b": "1.5"}]}, {"a": [{"b": 1.5}]}, "$.a[0].b: is text of a number, but a number in the response"),
        (
            {"a": "1700000000000"},
            {"a": "2024-01-01T00:00:00Z"},
            "$.a: is text of a number, but text of a time in the response",
        ),
        ([1, "x"], [1], "$: has 2 cells, but 1 in the response"),
        ([{"a": 1}], [], "$: is empty in the response"),
    ],
)
def test_a_difference_is_described(real: Any, ours: Any, message: str) -> None:
    assert list(differences(real, ours, Row("", "", ""))) == [message]


def ask(row: Row) -> Any:
    """The emulator's response to the row's request."""
    routes: Sequence[Route] = importlib.import_module(f"pipelines.sandbox.venues.{module_of(row.venue)}").ROUTES
    method, path = ("POST" if row.body is not None else "GET"), row.path
    for route in routes:
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
        named = re.fullmatch(pattern, path)
        if (route.method, route.endpoint) == (method, row.endpoint) and named:
            params = {**row.params, **named.groupdict()}
            requested = Request(
                method, row.endpoint, path, params, orjson.dumps(row.body), row.now, {"api_key": "any"}
            )  # fmt: skip
            answer = route.handler(requested, row.model)
            assert answer.status == 200, answer
            return answer.content
    raise AssertionError(f"{row.venue} has no route {row.path}")


def _annotated(real: Any) -> Any:
    """The sample without the annotations of its collector."""
    return {k: v for k, v in real.items() if not k.startswith("_")} if isinstance(real, dict) else real


def differences(real: Any, ours: Any, row: Row, where: str = "$") -> Iterator[str]:
    """Differences between `ours` and `real`. For arrays of records the first record of each is compared."""
    if isinstance(real, dict) and isinstance(ours, dict):
        for name in real.keys() - ours.keys() - row.older:
            yield f"{where}.{name}: is missing in the response"
        for name in ours.keys() - real.keys() - row.newer:
            yield f"{where}.{name}: is not in the sample"
        for name in sorted(real.keys() & ours.keys()):
            yield from differences(real[name], ours[name], row, f"{where}.{name}")
    elif isinstance(real, list) and isinstance(ours, list):
        if real and isinstance(real[0], (dict, list)):
            if not ours:
                yield f"{where}: is empty in the response"
            else:
                yield from differences(real[0], ours[0], row, f"{where}[0]")
        elif len(real) != len(ours):
            yield f"{where}: has {len(real)} cells, but {len(ours)} in the response"
        else:
            for place, (left, right) in enumerate(zip(real, ours, strict=True)):
                yield from differences(left, right, row, f"{where}[{place}]")
    elif None not in (real, ours) and kind(real) != kind(ours):
        yield f"{where}: is {kind(real)}, but {kind(ours)} in the response"


_KINDS: Final = (
    (r"", "empty text"),
    (r"-?\d+(\.\d+)?([eE][+-]?\d+)?", "text of a number"),
    (r"0x[0-9a-f]*", "text of hexadecimal digits"),
    (r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}.*", "text of a time"),
)


def kind(value: Any) -> str:
    """The JSON type of a value; for text, its format."""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return next((name for pattern, name in _KINDS if re.fullmatch(pattern, value)), "text")
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "null"
