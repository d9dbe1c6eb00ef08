"""Invented option chains for the option marts, captured into the clean tables as the loader leaves them. No expectations.

Each awkward case is an underlying of its own, so that one build holds them all.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb
import polars as pl

FIRST_DAY = dt.date(2024, 1, 1)
DAYS = 100
GAP = 55
SOURCES = {"deribit": "deribit.option_chain", "okx": "okx.option_chain", "archive": "files.option_chain"}


def day(number: int) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=number)


@dataclass(frozen=True)
class Option:
    """One row of a capture; strikes in dollars, open interest and volume in coins, iv a fraction per year."""

    kind: str
    strike: float
    oi: float
    days: int = 9
    """Days from the capture's day to the day of expiry."""
    volume: float | None = 1.0
    iv: float | None = 0.5
    delta: float | None = None
    forward: float | None = 100.0
    index: float | None = 100.0
    settles_in: str = "coin"


@dataclass(frozen=True)
class Capture:
    asset: str
    at: dt.datetime
    options: Sequence[Option]
    venue: str = "deribit"
    source: str = "deribit"

    def rows(self) -> list[dict[str, object]]:
        return [
            {
                "venue": self.venue,
                "instrument": f"{self.asset}-{option.settles_in}-{self.at.date() + dt.timedelta(days=option.days)}"
                f"-{option.strike:g}-{option.kind}",
                "snapshot_at": self.at,
                "underlying": self.asset,
                "expiry_date": self.at.date() + dt.timedelta(days=option.days),
                "strike": option.strike,
                "option_type": option.kind,
                "oi_base": option.oi,
                "volume_24h_base": option.volume,
                "mark_iv": option.iv,
                "mark_price_base": None,
                "underlying_price": option.forward,
                "index_price": option.index,
                "delta": option.delta,
                "trade_date": self.at.date(),
                "source": SOURCES[self.source],
                "landing_id": "l",
                "available_at": self.at + dt.timedelta(minutes=5),
                "loaded_at": dt.datetime(2025, 1, 1),
            }
            for option in self.options
        ]


def captured(date: dt.date, hour: int = 20, minute: int = 0) -> dt.datetime:
    return dt.datetime.combine(date, dt.time(hour, minute))


def smile(forward: float | None = 100.0, *, days: Sequence[int] = (5, 9, 25, 40)) -> list[Option]:
    """Puts dearer than calls, no delta stated: 13 strikes on both sides over several expiries."""
    return [
        Option(kind=kind, strike=strike, oi=1.0 + place, days=after, iv=0.6 - 0.002 * (strike - 60.0) + after / 1000,
               forward=forward)
        for after in days
        for place, strike in enumerate(range(70, 135, 5))
        for kind in ("call", "put")
    ]  # fmt: skip


def pair(calls: float, puts: float, **others: float | None) -> list[Option]:
    """A small chain of two strikes and both sides."""
    return [
        Option("call", 90.0, 0.0, **others),  # type: ignore[arg-type]
        Option("call", 110.0, calls, **others),  # type: ignore[arg-type]
        Option("put", 90.0, puts, **others),  # type: ignore[arg-type]
        Option("put", 110.0, 0.0, **others),  # type: ignore[arg-type]
    ]


def history(asset: str, missing: frozenset[int] = frozenset()) -> list[Capture]:
    """A hundred days of whole numbers, so that ratios tie."""
    random_ = random.Random(asset)
    counts = [(random_.choice((1.0, 2.0, 4.0)), random_.choice((1.0, 2.0, 3.0))) for _ in range(DAYS)]
    return [
        Capture(asset, captured(day(n)), pair(calls, puts))
        for n, (calls, puts) in enumerate(counts)
        if n not in missing
    ]


def cases() -> list[Capture]:
    chain = smile()
    ten = chain[:10]
    settling = [*pair(2, 1), Option("put", 100.0, 7.0, days=0)]
    return [
        # DUE settles on its own day: seen only before 08:00 on the first, and after it as well on the second.
        Capture("DUE", captured(day(0), 7), settling),
        Capture("DUE", captured(day(1), 7), settling),
        Capture("DUE", captured(day(1), 9), settling),
        Capture("ONE", captured(day(0)), [Option("call", 100.0, 3.0), Option("put", 100.0, 6.0)]),
        Capture("PUT", captured(day(0)), [option for option in chain if option.kind == "put"]),
        # TIE pays the same at 90, 100 and 110.
        Capture("TIE", captured(day(0)), [*pair(0, 0), Option("call", 90.0, 5.0, settles_in="dollars"),
                                          Option("put", 110.0, 5.0, settles_in="dollars"), Option("call", 100.0, 0.0)]),
        # TWO: the smaller venue has an index of its own and dearer volatility.
        Capture("TWO", captured(day(0)), chain),
        Capture("TWO", captured(day(0), 21), [replace(o, oi=o.oi / 4, iv=2.0, index=120.0) for o in chain], venue="okx",
                source="okx"),
        Capture("RAW", captured(day(0)), chain),
        Capture("DIM", captured(day(0)), [replace(option, iv=None) for option in chain]),
        Capture("NOF", captured(day(0)), [replace(option, index=None) for option in smile(forward=98.0)]),
        # CUT: a capture that broke off late in the day, then days of ten, six and five of ten options.
        Capture("CUT", captured(day(0)), ten),
        Capture("CUT", captured(day(0), 23), ten[:3]),
        Capture("CUT", captured(day(1)), ten),
        Capture("CUT", captured(day(2)), ten[:6]),
        Capture("CUT", captured(day(3)), ten[:5]),
        # VIA comes by two sources: the venue itself, and once by a whole file where the venue's own broke off.
        Capture("VIA", captured(day(0), 18), pair(2, 1)),
        Capture("VIA", captured(day(0), 22), pair(4, 4), source="archive"),
        Capture("VIA", captured(day(1), 18), pair(2, 1)[:1]),
        Capture("VIA", captured(day(1), 17), pair(4, 4), source="archive"),
        *history("LONG"),
        *history("GAPS", frozenset({GAP})),
    ]  # fmt: skip


def load(con: duckdb.DuckDBPyConnection, captures: Sequence[Capture], load_seq: int) -> None:
    """Replace the days of these captures as the loader does, and say so in ops.loads."""
    frame = pl.DataFrame([row for capture in captures for row in capture.rows()], infer_schema_length=None)
    con.register("captured", frame)
    con.execute(
        "delete from clean.option_chain where (source, underlying, trade_date) in "
        "(select source, underlying, trade_date from captured)"
    )
    con.execute("insert into clean.option_chain by name select * from captured")
    con.execute(
        "insert into ops.loads select ?, source, 'option_chain', trade_date, count(*), count(*), 0, 0, 0, 0, 0, 0, null, "
        "timestamp '2025-01-01', null, null, null from captured group by source, trade_date",
        [load_seq],
    )
    con.unregister("captured")


def ratios(captures: Sequence[Capture], asset: str) -> Mapping[dt.date, float]:
    """Puts over calls by open interest of one asset's captures."""
    held = {}
    for capture in captures:
        if capture.asset == asset:
            puts = sum(option.oi for option in capture.options if option.kind == "put")
            calls = sum(option.oi for option in capture.options if option.kind == "call")
            held[capture.at.date()] = puts / calls
    return held
