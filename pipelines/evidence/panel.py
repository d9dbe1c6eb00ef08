"""What the scorecard is computed from, as arrays of days by assets, and digests of it by month. Reads tables, judges nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    States = NDArray[np.int8]

OUTCOMES: Final = ("adjusted_return", "log_return", "liquidations_total", "liquidations_long", "liquidations_short")
UNKNOWN: Final = -1
DIGITS: Final = 10
"""Decimals of a value that enter a digest: sums of doubles differ in their last digits from build to build."""


@dataclass(frozen=True)
class Panel:
    """Outcomes and states on consecutive days.

    A state stands on the day before it is acted on: its first outcome is the next day's. `available` is the latest
    available_at of a day's rows, in microseconds since 1970.
    """

    first: date
    assets: tuple[str, ...]
    outcomes: Mapping[str, Floats]
    oi_rank: Floats
    states: Mapping[str, States]
    available: NDArray[np.int64]

    @property
    def days(self) -> int:
        return int(self.available.shape[0])

    @property
    def last(self) -> date:
        return self.first + timedelta(days=self.days - 1)

    def index(self, day: date) -> int:
        """Number of a day, also of one outside."""
        return (day - self.first).days

    def month_ends(self) -> list[date]:
        """Last days of the months that are whole, in order."""
        found = []
        day = self.first
        while day <= self.last:
            nxt = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
            if nxt - timedelta(days=1) <= self.last:
                found.append(nxt - timedelta(days=1))
            day = nxt
        return found

    def cut(self, until: date) -> Panel:
        """The panel as it was at the end of a day, without assets and signals that had no row yet."""
        import numpy as np

        there = self.index(until) + 1
        kept = [
            i for i in range(len(self.assets))
            if any(np.isfinite(values[:there, i]).any() for values in self.outcomes.values())
        ]  # fmt: skip
        return Panel(
            first=self.first,
            assets=tuple(self.assets[i] for i in kept),
            outcomes={name: np.ascontiguousarray(values[:there, kept]) for name, values in self.outcomes.items()},
            oi_rank=np.ascontiguousarray(self.oi_rank[:there, kept]),
            states={name: np.ascontiguousarray(values[:there, kept]) for name, values in self.states.items()},
            available=self.available[:there],
        )


def read_panel(con: duckdb.DuckDBPyConnection) -> Panel | None:
    """The panel of the helpers of the evidence marts; None where no price is known."""
    import numpy as np

    span = con.execute(
        "select min(trade_date), max(trade_date) from intermediate.int_hypothesis_outcomes_daily"
    ).fetchone()
    if span is None or span[0] is None:
        return None
    first, last = span
    days = (last - first).days + 1
    assets = [
        name for (name,) in con.execute(
            "select distinct asset from intermediate.int_hypothesis_outcomes_daily order by asset"
        ).fetchall()
    ]  # fmt: skip
    number = "dense_rank() over (order by asset) - 1"
    rows = con.execute(
        f"""
        select
            extract(day from (cast(trade_date as timestamp) - cast(? as timestamp))) as day_no, {number} as asset_no,
            {", ".join(OUTCOMES)}, cast(oi_rank as double) as oi_rank, epoch_us(available_at) as available
        from intermediate.int_hypothesis_outcomes_daily
        """,
        [first],
    ).fetchnumpy()
    at = (np.asarray(rows["day_no"], dtype=np.int64), np.asarray(rows["asset_no"], dtype=np.int64))
    shape = (days, len(assets))

    def spread(name: str) -> Floats:
        values = np.full(shape, np.nan)
        values[at] = np.ma.filled(rows[name].astype(np.float64), np.nan)
        return values

    available = np.zeros(days, dtype=np.int64)
    np.maximum.at(available, at[0], np.asarray(rows["available"], dtype=np.int64))
    return Panel(
        first=first, assets=tuple(assets), outcomes={name: spread(name) for name in OUTCOMES},
        oi_rank=spread("oi_rank"), states=_read_states(con, first, shape), available=np.maximum.accumulate(available),
    )  # fmt: skip


def _read_states(con: duckdb.DuckDBPyConnection, first: date, shape: tuple[int, int]) -> dict[str, States]:
    import numpy as np

    rows = con.execute(
        """
        with assets as (
            select asset, dense_rank() over (order by asset) - 1 as asset_no
            from (select distinct asset from intermediate.int_hypothesis_outcomes_daily) as a
        )
        select
            s.signal,
            list(extract(day from (cast(s.entry_date as timestamp) - cast($1 as timestamp))) - 1) as day_no,
            list(a.asset_no) as asset_no,
            list(cast(s.state = 'on' as tinyint)) as state
        from intermediate.int_hypothesis_states_daily as s
        inner join assets as a on s.asset = a.asset
        where s.entry_date > cast($1 as date) and s.entry_date <= cast($1 as date) + cast($2 as int)
        group by s.signal
        order by s.signal
        """,
        [first, shape[0]],
    ).fetchnumpy()
    states = {}
    for number, signal in enumerate(rows["signal"]):
        values = np.full(shape, UNKNOWN, dtype=np.int8)
        at = (np.asarray(rows["day_no"][number], np.int64), np.asarray(rows["asset_no"][number], np.int64))
        values[at] = np.asarray(rows["state"][number], dtype=np.int8)
        states[str(signal)] = values
    return states


def month_digests(panel: Panel, months: Sequence[date]) -> Mapping[str, Mapping[date, str]]:
    """Digests of outcomes (under the empty name) and of each signal's states from the first day to each of the months."""
    import numpy as np

    names = np.array(panel.assets)
    blocks = {"": [np.round(v, DIGITS) for v in (*panel.outcomes.values(), panel.oi_rank)]}
    blocks |= {name: [values] for name, values in panel.states.items()}
    found: dict[str, dict[date, str]] = {}
    for name, arrays in blocks.items():
        running = hashlib.sha256(name.encode())
        found[name] = {}
        start = 0
        for month in months:
            end = panel.index(month) + 1
            for values in arrays:
                part = values[start:end]
                known = (part != UNKNOWN) if name else np.isfinite(part)
                some = known.any(axis=0)
                running.update("\0".join(names[some]).encode() + b"\0\0")
                running.update(np.ascontiguousarray(part[:, some]).tobytes())
            found[name][month] = running.hexdigest()
            start = end
    return found


def instant(microseconds: int) -> datetime:
    """Naive UTC of microseconds since 1970."""
    return datetime(1970, 1, 1) + timedelta(microseconds=microseconds)
