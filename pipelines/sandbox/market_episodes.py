"""What is planted in a simulated market, and where a pipeline must find it: the truth table. How it is brought about is the
business of the modules beside this one.
"""

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
"""The signal of signals_daily that what happens in a market must switch on. What happens to its data is looked for elsewhere:
an outage in data_coverage_daily, a wrong unit in oi_plausibility_daily, late and restated files in ops.landings."""

HISTORY_DAYS: Final[Mapping[Kind, int]] = {
    "expansion": 31, "positive_funding": 92, "negative_funding": 92, "cascade": 8, "capitulation": 91, "divergence": 92,
    "outage": 0, "unit_error": 1, "late": 1, "restated": 1,
}  # fmt: skip
"""Days that must lie before an episode, so that the windows it is judged by are full."""


@dataclass(frozen=True)
class Episode:
    """Something that is true of `asset` from `first_day` through `last_day`; of a whole venue where `venue` is named.

    `found` is any of its days on which the signal is on, since a state may need some settlements to be confirmed.
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
"""Kind, asset, first and last day counted back from the last one (0). Most are late, because windows of 90 days lie before
them; outage and wrong unit are early, because they leave the windows over them unknown or wrong."""

UNIT_FACTOR: Final = 1000.0
"""A venue with a wrong unit tells of contracts of a thousandth as if they were coins."""
FIRST_TOLD: Final = 0.93
"""What an archive said first of open interest that it restates, to what is true."""
RESTATED_AFTER: Final = timedelta(days=5)
"""How long after its end a day's file is replaced by the true one."""
LATE_BY: Final = timedelta(days=6)
"""How long after its end a late day's file is there."""


def plant(first: date, last: date, assets: Sequence[str]) -> tuple[Episode, ...]:
    """The episodes of PLAN that fall into the days from `first` through `last`, with the history they are judged by."""
    planned = [
        Episode(kind, asset, last + timedelta(days=begins), last + timedelta(days=ends), venue)
        for kind, asset, begins, ends, venue in PLAN
        if asset in (*assets, "*")
    ]
    return tuple(e for e in planned if e.first_day - timedelta(days=HISTORY_DAYS[e.kind]) >= first)
