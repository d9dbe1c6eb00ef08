"""Applies what a venue's open interest counts: two-sided values are halved, unknown ones are kept as received and marked. Zeros
beside other values of the same record are told from real ones.

Rows whose counting is `unknown` stay in clean.open_interest; no total includes them (int_open_interest_by_source).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import polars as pl

from pipelines.extract.venue import Counting
from pipelines.sources.records import SUBJECT, rejected

DOCUMENTED: Final = (Counting("one_sided", "the venue's documentation"),)
"""Open interest counted one-sided ever since, by the venue's documentation."""


UNSETTLED: Final = (
    Counting("unknown", "no document states a side; captures compared with traded volume will settle it"),
)

FACTS: Final[Mapping[str, tuple[Counting, ...]]] = {
    **dict.fromkeys(("bingx", "bitget", "kucoin", "mexc", "phemex"), UNSETTLED),
    "bybit": (
        Counting("two_sided", "Bybit's documentation of openInterest"),
        Counting("one_sided", "singleOpenInterest, read where present; Bybit's changelog", since=datetime(2026, 6, 11)),
    ),
    "gate": (
        Counting("one_sided", "a response of 2023-01-18 15:50 states an odd number of contracts"),
        Counting("unknown", "no response between the two samples", since=datetime(2023, 1, 18, 15, 55)),
        Counting(
            "two_sided",
            "all numbers of contracts are even from the sample of 2026-03-17 06:37 on, and the contract's position_size, which "
            "counts one side, was 291,601,316 on 2026-09-03, the day after 647,703,314",
            since=datetime(2026, 3, 17, 6, 35),
        ),
    ),
    "htx": (Counting("two_sided", "HTX's documentation: the sum of both buy and sell sides"),),
    "hyperliquid": (
        Counting(
            "unknown",
            "two projects that rebuild positions found twice the longs, two vendors document one side; captures compared with "
            "traded volume will settle it",
        ),
    ),
}
"""Venues that do not count one side ever since, by venue id."""


def sides(facts: Sequence[Counting], at: pl.Expr) -> pl.Expr:
    """one_sided, two_sided or unknown at each instant."""
    expression = pl.lit("unknown")
    for fact in facts:
        expression = pl.when(at >= pl.lit(fact.since, pl.Datetime("us"))).then(pl.lit(fact.sides)).otherwise(expression)
    return expression


def share(counted: pl.Expr) -> pl.Expr:
    """What a value is multiplied with to count one side: 0.5 where both are counted."""
    return pl.when(counted == "two_sided").then(0.5).otherwise(1.0)


def counting(counted: pl.Expr) -> pl.Expr:
    """The column `counting` of clean.open_interest."""
    return pl.when(counted == "two_sided").then(pl.lit("halved")).otherwise(counted).alias("counting")


def without_sentinels(
    frame: pl.DataFrame,
    amounts: Sequence[str],
    beside: Sequence[str],
    *,
    stamp: str | None = None,
    instrument: str = SUBJECT,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows whose open interest can be real, and the others as rejects: an amount of zero beside another amount, or beside a volume
    or ratio of the same record that is not zero, is a gap in the venue's recording."""
    is_zero = pl.any_horizontal(pl.col(name) == 0 for name in amounts)
    is_alive = pl.any_horizontal(pl.col(name).cast(pl.Float64) > 0 for name in (*amounts, *beside))
    sentinels = frame.select((is_zero & is_alive).fill_null(value=False).alias("is"))["is"]
    if not sentinels.any():
        return frame, rejected(frame.clear(), reason="sentinel", detail="", stamp=stamp, instrument=instrument)
    return frame.filter(~sentinels), rejected(
        frame.filter(sentinels),
        reason="sentinel",
        detail="no open interest beside values that are not zero",
        stamp=stamp,
        field=amounts[0],
        instrument=instrument,
    )
