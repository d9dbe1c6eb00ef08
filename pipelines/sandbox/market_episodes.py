"""The episodes planted in a simulated market, and the signals that must find them. Other market modules implement their effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

Kind = Literal[
    "expansion", "positive_funding", "negative_funding", "cascade", "capitulation", "divergence", "outage", "unit_error",
    "late", "restated",
]  # fmt: skip

SIGNALS: Final[Mapping[Kind, str]] = {
    "expansion": "oi_expansion",
    "positive_funding": "extreme_positive_funding",
    "negative_funding": "extreme_negative_funding",
    "cascade": "large_liquidations",
    "capitulation": "capitulation",
    "divergence": "lending_stress",
}
"""The signal in signals_daily that must be on for each kind of market episode. Data faults are found elsewhere: an outage in
data_coverage_daily, a wrong unit in oi_plausibility_daily, late and restated files in ops.landings."""

HISTORY_DAYS: Final[Mapping[Kind, int]] = {
    "expansion": 31, "positive_funding": 92, "negative_funding": 92, "cascade": 8, "capitulation": 91, "divergence": 92,
    "outage": 0, "unit_error": 1, "late": 1, "restated": 1,
}  # fmt: skip
"""Days of history required before an episode, so that the rolling windows of its signal are full."""


@dataclass(frozen=True)
class Episode:
    """A condition of `asset` ("*" for all) from `first_day` through `last_day`; restricted to `venue` if given.

    It counts as found if its signal is on on any of these days, since some states need several settlements to be confirmed.
    """

    kind: Kind
    asset: str
    first_day: date
    last_day: date
    venue: str | None = None

    @property
    def signal(self) -> str | None:
        return SIGNALS.get(self.kind)

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first_day, time())

    @property
    def end(self) -> datetime:
        return datetime.combine(self.last_day, time()) + timedelta(days=1)


PLAN: Final[Sequence[tuple[Kind, str, int, int, str | None]]] = (
    ("outage", "*", -111, -111, "bybit"),
    ("unit_error", "AVAX", -104, -104, "bybit"),
    ("cascade", "ETH", -15, -15, None),
    ("expansion", "SOL", -11, -11, None),
    ("positive_funding", "XRP", -9, -7, None),
    ("negative_funding", "DOGE", -5, -3, None),
    ("capitulation", "BTC", -6, -4, None),
    ("restated", "ETH", -3, -3, "binance"),
    ("divergence", "ETH", -2, -2, None),
    ("late", "BTC", -1, -1, "binance"),
)
"""Kind, asset, first and last day relative to the last day (0), venue. Most are near the end, since they need windows of 90 days
before them; outage and wrong unit are early, since they make windows over them unknown or wrong."""

UNIT_FACTOR: Final = 1000.0
"""Factor of a unit error: contracts of a thousandth of a coin reported as coins."""
UNRESTATED_FACTOR: Final = 0.93
"""Ratio of the open interest first published by an archive to the restated value."""
RESTATED_AFTER: Final = timedelta(days=5)
"""Time from a day's end to the replacement of its file by the restated one."""
LATE_BY: Final = timedelta(days=6)
"""Time from a day's end to the publication of a late file."""


def plant(first: date, last: date, assets: Sequence[str]) -> tuple[Episode, ...]:
    """The episodes of PLAN that fit, with their required history, into the days from `first` through `last`."""
    planned = [
        Episode(kind, asset, last + timedelta(days=begins), last + timedelta(days=ends), venue)
        for kind, asset, begins, ends, venue in PLAN
        if asset in (*assets, "*")
    ]
    return tuple(e for e in planned if e.first_day - timedelta(days=HISTORY_DAYS[e.kind]) >= first)
