"""Real answers of 2026 that other people's clients recorded, each through today's parser: the values are those in the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.extract.venue import Context, Page, Span
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA, InstrumentHistory

AT: Final = datetime(2026, 10, 1)
EVER: Final = Span(datetime(2000, 1, 1), datetime(2100, 1, 1))
HEADS: Final = "gate_contract_stats_20260912_heads.txt"


@dataclass(frozen=True)
class Answer:
    """A file, the feed that reads it, what was asked, and the rows of `columns` that it must give."""

    file: str
    feed: str
    columns: Sequence[str]
    rows: Sequence[tuple[Any, ...]]
    subject: str = "*"
    path: str = "/"
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def venue(self) -> str:
        return self.file.partition("_")[0]


LISTED: Final = ("instrument", "asset", "asset_class", "contract_type", "contract_size", "listed_at")
CANDLE: Final = ("opened_at", "open", "high", "low", "close", "volume_base", "volume_quote")
RATE: Final = ("settled_at", "kind", "rate")

ANSWERS: Final = (
    Answer(
        "bybit_instruments_20260903.json", "instruments", LISTED,
        [("BTCUSDT", "BTC", "crypto", "linear", 1.0, datetime(2020, 3, 15))], params={"category": "linear"},
    ),
    Answer(
        "gate_contract_BTC_USDT_20260903.json", "instruments", LISTED,
        [("BTC_USDT", "BTC", "crypto", "linear", 0.0001, datetime(2019, 11, 18))], subject="usdt",
    ),
    # One side of the 647,703,314 that the statistics of the day before count.
    Answer(
        "gate_contract_BTC_USDT_20260903.json", "current_open_interest", ("instrument", "oi_base", "counting"),
        [("BTC_USDT", 291_601_316 * 0.0001, "one_sided")], subject="usdt",
    ),
    Answer(
        "gate_candles_20260906.json", "candlesticks", CANDLE,
        [
            (datetime(2026, 9, 6, 13), 79882.8, 79930.0, 79720.0, 79795.6, 943.8259, 75318478.29581),
            (datetime(2026, 9, 6, 14), 79795.6, 79809.7, 79170.0, 79502.8, 3561.4835, 283348581.20138),
        ],
        subject="BTC_USDT",
    ),
    # Stamped one to three seconds late.
    Answer(
        "gate_funding_20260904.json", "funding_rate", RATE,
        [
            (datetime(2026, 9, 4), "settled", 0.000052), (datetime(2026, 9, 3, 16), "settled", 0.000046),
            (datetime(2026, 9, 3, 8), "settled", 0.000079), (datetime(2026, 9, 3), "settled", 0.000032),
            (datetime(2026, 9, 2, 16), "settled", 0.000047),
        ],
        subject="BTC_USDT",
    ),
    Answer(
        "kraken_instruments_20260903.json", "instruments", LISTED,
        [
            ("PF_XBTUSD", "BTC", "crypto", "linear", 1.0, datetime(2022, 3, 22, 13, 15, 36)),
            ("PF_XRPUSD", "XRP", "crypto", "linear", 1.0, datetime(2022, 3, 22, 14, 12, 21)),
        ],
    ),
    Answer(
        "kraken_candles_20260906.json", "candles", CANDLE,
        [
            (datetime(2026, 9, 6, 13), 79929.0, 79974.0, 79759.0, 79840.0, 220.2183, None),
            (datetime(2026, 9, 6, 14), 79840.0, 79852.0, 79089.0, 79561.0, 768.4041, None),
        ],
        subject="PF_XBTUSD", path="/api/charts/v1/trade/PF_XBTUSD/1h",
    ),
    # The relative rate; the other is in dollars for a contract.
    Answer(
        "kraken_funding_20260904.json", "funding", RATE,
        [
            (datetime(2026, 8, 18, 12), "settled", 0.000007262745833333),
            (datetime(2026, 8, 18, 13), "settled", -9.33858333333e-7),
        ],
        subject="PF_XBTUSD",
    ),
    # A stock (instCategory 3) that is being rebased, without base and quote.
    Answer(
        "okx_instruments_20260903.json", "instruments", LISTED,
        [
            ("BTC-USDT-SWAP", "BTC", "crypto", "linear", 0.01, datetime(2019, 11, 12, 11, 16, 48)),
            ("MUU-USDT-SWAP", "MUU.STOCK", "stock", "linear", 1.0, datetime(2024, 7, 3, 9, 46, 40)),
        ],
        path="/api/v5/public/instruments", params={"instType": "SWAP"},
    ),
    Answer(
        "okx_candles_20260907.json", "candles", CANDLE,
        [
            (datetime(2026, 9, 7, 8), 79357.9, 79508.0, 79350.6, 79396.1, 1532.5396, 121716733.94598),
            (datetime(2026, 9, 7, 7), 79619.6, 79654.7, 78920.0, 79357.9, 5679.1507, 450129589.49772),
        ],
        subject="BTC-USDT-SWAP", path="/api/v5/market/history-candles",
    ),
    Answer(
        "okx_funding_20260904.json", "funding", RATE,
        [(datetime(2026, 9, 4), "settled", 0.0000418741079605), (datetime(2026, 8, 29), "settled", 0.0001)],
        subject="BTC-USDT-SWAP",
    ),
    Answer(
        "okx_oi_20260912.json", "open_interest", ("event_at", "oi_base", "oi_usd", "counting"),
        [
            (datetime(2026, 9, 12, 6, 35), 27448.3557000001198, 2120747796.12024925613136, "one_sided"),
            (datetime(2026, 9, 12, 6, 30), 27448.3557000001198, 2120747796.12024925613136, "one_sided"),
        ],
        subject="BTC-USDT-SWAP", params={"period": "5m"},
    ),
)  # fmt: skip

KNOWN: Final = pl.DataFrame(
    [
        {
            **dict.fromkeys(SCHEMA), "venue": venue, "instrument": name, "contract_type": "linear", "contract_size": size,
            "contract_size_unit": "base", "asset": "BTC",
        }
        for venue, name, size in (("gate", "BTC_USDT", 0.0001), ("okx", "BTC-USDT-SWAP", 0.01), ("kraken", "PF_XBTUSD", 1.0))
    ],
    schema=SCHEMA,
)  # fmt: skip


def parsed(venue: str, feed: str, page: Page) -> pl.DataFrame:
    """The rows of the first table, nothing of which is rejected."""
    owner = registry.venue(venue)
    owner.check(page)
    known = InstrumentHistory.none() if feed == "instruments" else KNOWN.filter(venue=venue)
    found = list(owner.feed(feed).parse([page], Context(venue, AT, EVER, known)))
    assert [one.rejects.to_dicts() for one in found if one.rejects is not None and one.rejects.height] == []
    return found[0].rows


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.feed}-{answer.file}")
def test_an_answer_of_2026_has_the_values_that_are_in_it(answer: Answer, field_dir: Path) -> None:
    body = (field_dir / "cex" / "answers_2026" / answer.file).read_bytes()
    request = {"endpoint": "api", "path": answer.path, "params": answer.params}
    found = parsed(answer.venue, answer.feed, Page(answer.subject, request, 200, AT, body))
    told = found.select(answer.columns)
    assert_frame_equal(told, pl.DataFrame(answer.rows, schema=told.schema, orient="row"), rel_tol=1e-12)


def test_the_statistics_of_gate_in_2026_count_both_sides(field_dir: Path) -> None:
    """Of each line: time, open interest, price. Every number of contracts is even."""
    lines = (field_dir / "cex" / "answers_2026" / HEADS).read_text(encoding="utf-8").splitlines()
    told = {int(at): int(contracts) for line in lines if line[0].isdigit() for at, contracts, _ in [line.split()]}
    others = ("long_liq_size", "short_liq_size", "long_liq_amount", "short_liq_amount", "long_liq_usd", "short_liq_usd")
    ratios = ("lsr_taker", "lsr_account", "top_lsr_account", "top_lsr_size")
    records = [
        {"time": at, "open_interest": contracts, "open_interest_usd": contracts * 7.0, "mark_price": 70_000.0}
        | dict.fromkeys((*others, *ratios), 1)
        for at, contracts in told.items()
    ]
    page = Page("BTC_USDT", {"endpoint": "api", "path": "/", "params": {}}, 200, AT, orjson.dumps(records))
    found = parsed("gate", "contract_stats", page)
    assert len(told) == 13
    assert found["counting"].unique().to_list() == ["halved"]
    assert found["oi_base"].to_list() == pytest.approx([contracts / 2 * 0.0001 for contracts in told.values()])


def test_every_answer_is_read(field_dir: Path) -> None:
    there = {path.name for path in (field_dir / "cex" / "answers_2026").iterdir()}
    assert there == {answer.file for answer in ANSWERS} | {HEADS}
