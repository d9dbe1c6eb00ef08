"""Borrowers of a lending protocol in the simulated market: health factors that follow an oracle, liquidations that lag behind it.

What of them the chain keeps, as logs of Aave v3, stands here too; answering with them is venues/evm.py's business.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from pipelines.sandbox.market_episodes import Episode
from pipelines.sandbox.market_paths import CHARACTERS, DAY, STEP, Path, first_crossings
from pipelines.sandbox.venues.evm import BLOCK_SECONDS, GENESIS, Log

HEARTBEAT: Final = 12
"""Steps between two prices of the oracle: an hour."""
BORROWED_EVERY: Final = 4
"""Prices of the oracle between two cohorts of loans."""
COLLATERAL_TO_OI: Final = 0.05
"""Collateral of all loans of an asset to its open interest."""
CLOSE_ALL_BELOW: Final = 0.95
"""Aave v3: half of a debt may be repaid by a liquidator, all of it where the health factor is below this."""
BONUS: Final = 0.05
"""Collateral a liquidator gets beyond the debt repaid."""
CUT: Final = 0.2
"""By what part the liquidation threshold is lowered in a planted divergence, at noon: nothing else happens to the price."""
CUT_AT: Final = timedelta(hours=12)
LAG_SECONDS: Final = (24, 900)
"""How long after the oracle's price a liquidator comes, at least and at most."""


@dataclass(frozen=True)
class Reserve:
    """A token lent against: `threshold` is the part of its value that a debt may have before it is liquidated."""

    token: str
    decimals: int
    threshold: float


POOL: Final = "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2"
"""Aave v3 on Ethereum."""
RESERVES: Final = {
    "BTC": Reserve("0x2260fac5e5542a773aa44fbcfedf7c193bc2c599", 8, 0.78),
    "ETH": Reserve("0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", 18, 0.83),
}
DEBT_TOKEN: Final = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"  # noqa: S105 - USDC, a token of a chain
DEBT_DECIMALS: Final = 6
LIQUIDATION_CALL: Final = "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"
LIQUIDATOR: Final = "0x" + "11" * 20


@dataclass(frozen=True)
class Risk:
    """Loans opened at one health factor: their part of all collateral, and how many days they are held if nothing happens."""

    health_factor: float
    share: float
    days_held: float


RISKS: Final = (
    Risk(1.004, 0.001, 1),
    Risk(1.01, 0.002, 2),
    Risk(1.03, 0.008, 4),
    Risk(1.10, 0.09, 10),
    Risk(1.30, 0.30, 20),
    Risk(1.80, 0.60, 40),
)

SCHEMA: Final[dict[str, pl.DataType]] = {
    "occurred_at": pl.Datetime("us"), "reached_at": pl.Datetime("us"), "loan": pl.Int64(), "health_factor": pl.Float64(),
    "price": pl.Float64(), "debt_usd": pl.Float64(), "collateral_base": pl.Float64(), "left_base": pl.Float64(),
}  # fmt: skip


def liquidated(
    asset: str, price: Path, start: datetime, *, seed: int, episodes: Sequence[Episode] = ()
) -> pl.DataFrame:
    """Liquidations of loans on `asset`, in order of their block's time: SCHEMA.

    `price` has one value per step, as in Paths. A loan may be liquidated from the first price of the oracle on, `reached_at`,
    at which its health factor (collateral times price times threshold over debt) is below 1, and is so some blocks later,
    once. `debt_usd` is repaid, `collateral_base` seized, `left_base` what the loan held before.
    """
    told = price[HEARTBEAT - 1 :: HEARTBEAT]
    reserve, character = RESERVES[asset], CHARACTERS[asset]
    threshold = _thresholds(asset, len(told), start, episodes) * reserve.threshold
    opened = np.arange(0, len(told) - 1, BORROWED_EVERY, dtype=np.int64)
    random = np.random.default_rng([seed, zlib.crc32(f"{asset} loans".encode())])
    stock = COLLATERAL_TO_OI * character.oi_usd / character.price
    found = []
    for risk in RISKS:
        kept = float(np.exp(-HEARTBEAT / (DAY * risk.days_held)))
        size = stock * risk.share * (1 - kept**BORROWED_EVERY) * random.lognormal(0, 0.5, len(opened))
        debt = size * told[opened] * threshold[opened] / risk.health_factor
        # A health factor is 1 where price times threshold is down to debt over collateral.
        end = first_crossings(told * threshold, opened, debt / size, below=True)
        hit = end < len(told)
        at, still = end[hit], kept ** (end[hit] - opened[hit])
        left, owed = size[hit] * still, debt[hit] * still
        health = left * told[at] * threshold[at] / owed
        # Nobody repays what the collateral does not pay for; the rest is bad debt.
        repaid = np.minimum(owed * np.where(health < CLOSE_ALL_BELOW, 1.0, 0.5), left * told[at] / (1 + BONUS))
        seized = repaid * (1 + BONUS) / told[at]
        found.append((at, health, told[at], repaid, seized, left))
    step, health, at_price, repaid, seized, left = (np.concatenate(column) for column in zip(*found, strict=True))
    loan = np.arange(len(step))
    least, most = LAG_SECONDS
    since = (step + 1) * HEARTBEAT * (STEP // timedelta(seconds=1))
    lag = least + random.integers(0, most - least, len(step))
    began = int((start - GENESIS).total_seconds())
    block_seconds = -(-(began + since + lag) // BLOCK_SECONDS) * BLOCK_SECONDS
    return (
        pl.DataFrame(
            {
                "seconds": block_seconds, "since": since, "loan": loan, "health_factor": health, "price": at_price,
                "debt_usd": repaid, "collateral_base": seized, "left_base": left,
            }
        )
        .select(
            (pl.lit(GENESIS) + pl.duration(seconds="seconds")).cast(pl.Datetime("us")).alias("occurred_at"),
            (pl.lit(start) + pl.duration(seconds="since")).cast(pl.Datetime("us")).alias("reached_at"),
            *(name for name in SCHEMA if name not in ("occurred_at", "reached_at")),
        )
        .sort("occurred_at", "loan")
    )  # fmt: skip


def logs(asset: str, liquidations: pl.DataFrame) -> list[Log]:
    """The LiquidationCall of each row, in raw amounts; the index tells events of a block apart."""
    reserve = RESERVES[asset]
    block = (pl.col("occurred_at") - pl.lit(GENESIS)).dt.total_seconds() // BLOCK_SECONDS
    rows = liquidations.select(block, "loan", "debt_usd", "collateral_base").iter_rows()
    topic = {token: f"0x{_word(token)}" for token in (reserve.token, DEBT_TOKEN)}
    return [
        Log(
            number,
            # Assets have their own range of indices, so that a block holds none twice.
            list(RESERVES).index(asset) * 1_000_000 + loan,
            POOL,
            (LIQUIDATION_CALL, topic[reserve.token], topic[DEBT_TOKEN], f"0x{_word(_borrower(asset, loan))}"),
            f"0x{_word(_raw(debt, DEBT_DECIMALS))}{_word(_raw(collateral, reserve.decimals))}{_word(LIQUIDATOR)}{_word(0)}",
        )
        for number, loan, debt, collateral in rows
    ]


def _word(value: int | str) -> str:
    """A number, or an address, as 32 bytes."""
    return f"{value:064x}" if isinstance(value, int) else value.removeprefix("0x").rjust(64, "0")


def _raw(amount: float, decimals: int) -> int:
    """Ten digits behind the point are a coin's; further zeros are exact."""
    digits = min(decimals, 10)
    return round(amount * 10.0**digits) * int(10 ** (decimals - digits))


def _borrower(asset: str, loan: int) -> str:
    return hashlib.sha256(f"{asset} {loan}".encode()).hexdigest()[:40]


def _thresholds(asset: str, count: int, start: datetime, episodes: Sequence[Episode]) -> Path:
    """1, and less from noon of a planted divergence on: governance lowers the threshold of a reserve for good."""
    path = np.ones(count)
    for episode in episodes:
        if episode.kind == "divergence" and episode.asset == asset:
            path[(episode.start + CUT_AT - start) // (HEARTBEAT * STEP) :] *= 1 - CUT
    return path
