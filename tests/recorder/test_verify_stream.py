"""What a stream says is matched with REST rows of the same instrument, second and price, one to one."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.operations.verify_stream import SCHEMA, Match, match, verdict, verify
from tests.recorder.test_stream_payloads import parsed

AT = datetime(2026, 10, 1, 12)


def events(*rows: tuple[str, float, str]) -> pl.DataFrame:
    frame = [(name, AT + timedelta(milliseconds=250), price, 1.0, says) for name, price, says in rows]
    return pl.DataFrame(frame, schema=SCHEMA, orient="row")


def test_signs_meet_sides() -> None:
    heard = events(("BTC_USDT", 1.5, "size < 0"), ("BTC_USDT", 1.5, "size < 0"), ("ETH_USDT", 2.0, "size > 0"))
    told = events(("BTC_USDT", 1.5, "long"), ("ETH_USDT", 2.0, "short"))
    assert match(heard, told) == [
        Match("size < 0", "long", 1), Match("size < 0", None, 1), Match("size > 0", "short", 1),
    ]  # fmt: skip


def test_days_that_rest_does_not_have_say_nothing() -> None:
    later = events(("BTC_USDT", 1.5, "long")).with_columns(pl.col("at") + pl.duration(days=1))
    assert match(events(("BTC_USDT", 1.5, "size < 0")), later) == []
    assert verdict([]).startswith("nothing to compare")


def test_what_gate_says_is_read_back_from_quarantine() -> None:
    from pipelines.operations.verify_stream import _unsided

    push = (
        b'{"channel":"futures.public_liquidates","event":"update","time":1,"result":'
        b'[{"price":"215.1","size":"-12.5","time":1791565600992,"contract":"BTC_USDT"}]}'
    )
    rejects = parsed("gate", [push], names=["BTC_USDT"]).rejects
    assert rejects is not None
    assert _unsided(rejects).select("instrument", "price", "quantity", "says").rows() == [
        ("BTC_USDT", 215.1, 12.5, "size < 0")
    ]


def test_a_venue_without_rest_liquidations_cannot_be_compared(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="no REST feed"):
        verify(settings, "bybit")
    assert verify(settings, "gate") == []
