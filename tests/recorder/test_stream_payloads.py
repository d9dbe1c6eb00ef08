"""Recorded frames of each venue through its stream's parser, and what the recorder understands of control frames."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.core.universe import parse_symbol
from pipelines.extract.stream import FrameKind, Stream, frame_line, inflated, microseconds
from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.sources import registry
from pipelines.sources.account import Account
from pipelines.sources.instruments import SCHEMA
from pipelines.sources.reading import read_pages

RECEIVED = datetime(2026, 10, 10, 12)
SIZES = {
    "BTCUSD_PERP": (100.0, "usd"), "XBTUSD": (1.0, "usd"), "CNPY-USDT-SWAP": (10.0, "base"), "BTC-USDT-SWAP": (0.01, "base"),
    "MUBARAK-USDT-SWAP": (100.0, "base"), "CELO-USDT-SWAP": (1.0, "base"), "PI_XRPUSD": (1.0, "usd"), "PI_ETHUSD": (1.0, "usd"),
    "BTC_USDT": (0.0001, "base"), "BTCUSD": (1.0, "usd"), "ETH-USDT": (0.01, "base"), "BTC-USDT": (0.001, "base"),
    "ETH-USD": (10.0, "usd"), "O3-USDT": (1.0, "base"),
}  # fmt: skip


def stream(venue: str) -> Stream:
    return registry.venue(venue).streams[0]


def instruments(venue: str, names: Sequence[str]) -> pl.DataFrame:
    rows = []
    for name in names:
        fact = parse_symbol(venue, name)
        size, unit = SIZES.get(name, (1.0, "base"))
        contract = fact.contract_type if fact else "linear"
        rows.append(
            {
                "venue": venue,
                "instrument": name,
                "contract_type": contract,
                "contract_size": size,
                "contract_size_unit": unit,
            }
        )
    return pl.DataFrame(rows, schema=SCHEMA)


def parsed(
    venue: str, *connections: Sequence[bytes], names: Sequence[str], topics: Mapping[str, str] | None = None
) -> Parsed:
    """Each of `connections` is what one connection heard; `topics` are what it said of numbered markets."""
    at = microseconds(RECEIVED)
    said = [frame_line(at, 0, 0, "E", orjson.dumps({"event": "opened", "topics": topics}))] if topics else []
    pages = [
        Page(
            f"r-c{i}",
            {},
            101,
            RECEIVED,
            b"\n".join(said + [frame_line(at + n, n, n, kind_of(x), x) for n, x in enumerate(frames)]),
        )
        for i, frames in enumerate(connections)
    ]
    span = Span(RECEIVED, RECEIVED + timedelta(hours=1))
    context = Context(venue, RECEIVED, span, instruments(venue, names))
    contract = load_contract(Settings.load().schema_dir)
    (one,) = read_pages(contract, stream(venue).feed, pages, context, Account())
    types = contract.table("liquidations").polars_schema()
    assert not {c: t for c, t in one.rows.schema.items() if c != "_line" and types.get(c) != t}
    return one


def kind_of(payload: bytes) -> FrameKind:
    return "B" if payload.startswith(b"\x1f") else "T"


def lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines() if line]


def facts(one: Parsed) -> list[tuple[object, ...]]:
    return one.rows.select("instrument", "side", "price", "quantity_base", "notional_usd").rows()


def test_binance(samples_dir: Path) -> None:
    folder = samples_dir / "streams" / "binance_um"
    frames = lines(folder / "force_order_2026-10.jsonl") + lines(folder / "force_order_2026-08.jsonl")
    names = ["BTCUSDT", "XRPUSDT", "MANTAUSDT", "AINUSDT", "ILVUSDT", "STGUSDT", "RAYSOLUSDT", "牛来USDT"]
    one = parsed("binance", frames, names=names)
    assert one.rows.height == 10
    assert one.rejects is not None and one.rejects.is_empty()
    assert ("BTCUSDT", "short", 83598.5, 0.001, 83.5985) in facts(one)
    # z, not l: the last fill was 55 of 9,243.
    assert ("牛来USDT", "long", 0.1057892, 9243.0, 0.1057892 * 9243.0) in facts(one)
    assert set(one.rows["completeness"]) == {"throttled"}


def test_binance_coin_margined_contracts_are_dollars() -> None:
    push = (
        b'{"e":"forceOrder","E":1791435250143,"o":{"s":"BTCUSD_PERP","ps":"BTCUSD","S":"SELL","o":"LIMIT","f":"IOC","q":"7",'
        b'"p":"81000","ap":"80000","X":"FILLED","l":"1","z":"7","T":1791435249136,"st":2}}'
    )
    one = parsed("binance", [push, push.replace(b"_PERP", b"_261225")], names=["BTCUSD_PERP"])
    assert facts(one) == [("BTCUSD_PERP", "long", 80000.0, 700 / 80000, 700.0)]


def test_bybit(samples_dir: Path) -> None:
    frames = lines(samples_dir / "streams" / "bybit" / "all_liquidation.jsonl")
    control = lines(samples_dir / "streams" / "bybit" / "control.jsonl")
    names = ["PIPPINUSDT", "BTCUSDT", "COTIUSDT", "ICPUSDT", "MARSCOINUSDT", "STRKUSDT"]
    one = parsed("bybit", frames + control, names=names)
    assert one.rows.height == 8
    assert ("BTCUSDT", "long", 82396.9, 0.006, pytest.approx(494.3814)) in facts(one)
    assert ("PIPPINUSDT", "short", 0.02456, 2846.0, pytest.approx(69.89776)) in facts(one)


def test_equal_bybit_events_are_counted_within_a_connection_and_merged_between_connections() -> None:
    row = '{"T":1791565600992,"s":"BTCUSD","S":"Buy","v":"500","p":"80000"}'
    push = f'{{"topic":"allLiquidation.BTCUSD","type":"snapshot","ts":1791565601482,"data":[{row},{row}]}}'.encode()
    single = f'{{"topic":"allLiquidation.BTCUSD","type":"snapshot","ts":1791565601482,"data":[{row}]}}'.encode()
    assert parsed("bybit", [push], [single], names=["BTCUSD"]).rows.height == 2
    assert parsed("bybit", [push, single], [single, push], names=["BTCUSD"]).rows.height == 3
    assert facts(parsed("bybit", [single], [single], names=["BTCUSD"])) == [
        ("BTCUSD", "long", 80000.0, 500 / 80000, 500.0)
    ]


def test_okx(samples_dir: Path) -> None:
    folder = samples_dir / "streams" / "okx"
    names = ["CNPY-USDT-SWAP", "MUBARAK-USDT-SWAP", "CELO-USDT-SWAP", "BTC-USDT-SWAP"]
    frames = [*lines(folder / "liquidation_orders.jsonl"), b"pong", *lines(folder / "control.jsonl")]
    one = parsed("okx", frames, names=names)
    # The future of 2023 is landed and read by no table.
    assert [row[:2] for row in facts(one)] == [
        ("CNPY-USDT-SWAP", "short"), ("MUBARAK-USDT-SWAP", "long"), ("CELO-USDT-SWAP", "short"), ("BTC-USDT-SWAP", "long"),
    ]  # fmt: skip
    assert facts(one)[3] == ("BTC-USDT-SWAP", "long", 82655.7, pytest.approx(0.0855), pytest.approx(7067.06235))
    assert set(one.rows["completeness"]) == {"sampled"}


def test_gate_has_no_side_yet(samples_dir: Path) -> None:
    frames = lines(samples_dir / "streams" / "gate" / "public_liquidates_doc.jsonl")
    one = parsed("gate", frames, names=["BTC_USDT"])
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert one.rejects["reason"].to_list() == ["undecodable"] * 6
    # Seconds and milliseconds under one name give the same day.
    assert set(one.rejects["trade_date"]) == {datetime(2018, 11, 6).date()}


def test_bitfinex(samples_dir: Path) -> None:
    folder = samples_dir / "streams" / "bitfinex"
    one = parsed("bitfinex", lines(folder / "liq_global.jsonl"), names=["tBTCF0:USTF0", "tETHF0:USTF0"])
    # Two triggers and one execution: only the latter has a price.
    assert facts(one) == [("tETHF0:USTF0", "short", 235.52, 4.56671421, pytest.approx(4.56671421 * 235.52))]


def test_kraken(samples_dir: Path) -> None:
    folder = samples_dir / "streams" / "krakenfutures"
    frames = [
        line
        for name in ("trade_liquidation_2020-07", "trade_snapshot_doc", "control")
        for line in lines(folder / f"{name}.jsonl")
    ]
    one = parsed("kraken", frames, names=["PI_XRPUSD", "PI_ETHUSD", "PF_XBTUSD"])
    assert facts(one) == [
        ("PI_XRPUSD", "long", 0.1736, pytest.approx(12000 / 0.1736), 12000.0),
        ("PI_ETHUSD", "short", 231.6, pytest.approx(250 / 231.6), 250.0),
    ]


def test_deribit(samples_dir: Path) -> None:
    frames = lines(samples_dir / "streams" / "deribit" / "trades_liquidation_2020-03.jsonl")
    one = parsed("deribit", frames, names=["BTC-PERPETUAL"])
    # T and sell: the taker's long died. M and buy: the maker sold, so its long died too.
    assert [row[1] for row in facts(one)] == ["long", "long"]
    assert [row[4] for row in facts(one)] == [1120.0, 2500.0]


def test_dydx(samples_dir: Path) -> None:
    frames = lines(samples_dir / "streams" / "dydx" / "v4_trades_liquidated.jsonl")
    one = parsed("dydx", frames + frames, names=["LINK-USD"])
    assert facts(one) == [("LINK-USD", "long", 22.87, 3.9, pytest.approx(89.193))]


def test_htx(samples_dir: Path) -> None:
    folder = samples_dir / "streams" / "htx"
    names = ["ETH-USDT", "BTC-USDT", "ETH-USD", "O3-USDT"]
    frames = [
        *lines(folder / "liquidation_orders.jsonl"), *lines(folder / "liquidation_orders_doc.jsonl"),
        *lines(folder / "control.jsonl"),
    ]  # fmt: skip
    # As on the wire. The future BTC200703 is landed and read by no table.
    one = parsed("htx", [gzip.compress(frame) for frame in frames], names=names)
    assert facts(one) == [
        ("ETH-USDT", "short", 2446.26, 5.0, pytest.approx(12231.3)),
        ("BTC-USDT", "long", 23350.5, pytest.approx(0.227), pytest.approx(5300.5635)),
        ("ETH-USD", "short", 229.95, pytest.approx(2310 / 229.95), 2310.0),
        ("O3-USDT", "long", 0.7858, 432.0, pytest.approx(432 * 0.7858)),
    ]
    assert one.rejects is not None and one.rejects.is_empty()


def test_a_compressed_frame_that_is_cut_off_is_kept_and_named() -> None:
    frame = gzip.compress(b'{"op":"notify","topic":"public.BTC-USDT.liquidation_orders","data":[]}')
    assert inflated(frame).startswith(b'{"op":"notify"')
    one = parsed("htx", [frame[:-9], frame[:12] + b"\xff" + frame[13:]], names=["BTC-USDT"])
    assert one.rejects is not None
    assert one.rejects["reason"].to_list() == ["unparsable", "unparsable"]


def test_htx_pings_are_echoed_as_they_came(samples_dir: Path) -> None:
    control = lines(samples_dir / "streams" / "htx" / "control.jsonl")
    heard = [stream("htx").classify(gzip.compress(frame)) for frame in control]
    # Part of a topic that is subscribed already is heard all the same.
    assert [one.kind for one in heard] == ["acknowledged", "acknowledged", "alive", "alive"]
    assert [one.reply for one in heard[2:]] == [
        '{"op":"pong","ts":"1789676355591"}',
        '{"op":"pong","ts":1789670081489}',
    ]
    assert not heard[0].is_alive


def test_bitget(samples_dir: Path) -> None:
    folder = samples_dir / "streams" / "bitget"
    frames = [*lines(folder / "liquidation_v3.jsonl"), b"pong", *lines(folder / "liquidation_v3_doc.jsonl")]
    coin = frames[0].replace(b"usdt-futures", b"coin-futures")
    one = parsed("bitget", [*frames, coin], names=["APEUSDT", "IPUSDT", "BTCUSDT"])
    # The amount is quote coin: divided by the price it is a round quantity.
    assert facts(one) == [
        ("APEUSDT", "long", 0.1649, pytest.approx(83.1), pytest.approx(13.70319)),
        ("IPUSDT", "long", 0.500280739469, pytest.approx(286.5), pytest.approx(143.330431857868)),
        ("BTCUSDT", "long", 89000.0, pytest.approx(37.722858 / 89000), pytest.approx(37.722858)),
    ]
    kinds = [stream("bitget").classify(frame).kind for frame in frames]
    assert kinds == ["data", "alive", "acknowledged", "data"]


def test_aster(samples_dir: Path) -> None:
    frames = lines(samples_dir / "streams" / "aster" / "force_order_2026-09.jsonl")
    one = parsed("aster", frames, names=["PAIRUSDT"])
    # z, not l, at the average price.
    assert facts(one) == [("PAIRUSDT", "long", 0.0044461, 28448.0, pytest.approx(28448 * 0.0044461))]
    assert set(one.rows["venue_kind"]) == {"perp_dex"}


def test_lighter(samples_dir: Path) -> None:
    frames = lines(samples_dir / "streams" / "lighter" / "trade_liquidation.jsonl")
    one = parsed("lighter", frames, frames, names=["BTC", "DOGE"], topics={"trade/1": "BTC"})
    # The maker asked, so a purchase closed a short.
    assert facts(one) == [("BTC", "short", 75602.8, 0.01664, pytest.approx(1258.030592))]
    # Market 36 is no topic of the segment: its liquidation is kept and named.
    assert one.rejects is not None
    assert set(one.rejects["reason"]) == {"unknown_instrument"}
    both = parsed("lighter", frames, names=["BTC", "DOGE"], topics={"trade/1": "BTC", "trade/36": "DOGE"})
    assert ("DOGE", "long", 0.20039, 8215.3, pytest.approx(8215.3 * 0.20039)) in facts(both)
    assert [stream("lighter").classify(frame).kind for frame in frames] == ["data", "data", "acknowledged"]


def test_a_frame_that_is_no_json_is_kept_and_named() -> None:
    one = parsed("bybit", [b'{"topic":"allLiq', b"[1]"], names=["BTCUSDT"])
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert one.rejects["reason"].to_list() == ["unparsable", "unparsable"]


@pytest.mark.parametrize(
    ("venue", "folder", "expected"),
    [
        ("bybit", "bybit", ["acknowledged", "acknowledged", "alive"]),
        ("binance", "binance_um", ["acknowledged", "other"]),
        ("okx", "okx", ["acknowledged", "refused"]),
        ("kraken", "krakenfutures", ["refused"]),
    ],
)
def test_control_frames_are_understood(samples_dir: Path, venue: str, folder: str, expected: list[str]) -> None:
    frames = lines(samples_dir / "streams" / folder / "control.jsonl")
    assert [stream(venue).classify(frame).kind for frame in frames] == expected


def test_binance_acknowledges_on_the_old_path_and_that_proves_nothing() -> None:
    one = stream("binance")
    assert not one.keep_alive.pong_counts
    assert not one.classify(b'{"result":null,"id":1}').is_alive
    assert not one.classify(b'{"result":["!forceOrder@arr"],"id":0}').is_alive
    assert one.classify(b'{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1"}').is_alive
