"""The risk limits that emulated venues ask: leverage halves and margin doubles as a position grows. Formats: sandbox/venues."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipelines.sandbox.market_model import Listing

MAJORS: Final = ("BTC", "ETH")
FIRST_LIMIT_USD: Final = 2_000_000.0
GROWTH: Final = 4.0
SMALLEST_LEVERAGE: Final = 5

DOLLARS_PER_CONTRACT: Final = 10.0
DOLLARS_PER_COIN: Final = 1_000.0
"""For venues that state limits in contracts or coins, whatever those are worth: nobody adjusts limits with every price."""


@dataclass(frozen=True)
class Tier:
    """Positions of [lower, upper] dollars. `deduction` makes the maintenance margin continuous from tier to tier."""

    number: int
    lower: float
    upper: float
    leverage: int
    deduction: float

    @property
    def initial(self) -> float:
        return 1 / self.leverage

    @property
    def maintenance(self) -> float:
        return 0.5 / self.leverage


def risk_tiers(listing: Listing, at: datetime) -> list[Tier]:
    """The tiers in force at `at`: up to 40 times on majors, 20 on other coins, and 10 in odd months."""
    leverage = 40 if listing.asset in MAJORS else 10 if at.month % 2 else 20
    tiers: list[Tier] = []
    lower, upper, deduction = 0.0, FIRST_LIMIT_USD, 0.0
    while leverage >= SMALLEST_LEVERAGE:
        if tiers:
            deduction += lower * (0.5 / leverage - tiers[-1].maintenance)
        tiers.append(Tier(len(tiers) + 1, lower, upper, leverage, deduction))
        lower, upper, leverage = upper, upper * GROWTH, leverage // 2
    return tiers
