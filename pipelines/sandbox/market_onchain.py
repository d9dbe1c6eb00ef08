"""Borrowers of a lending protocol in the simulated market: health factors that follow an oracle, and delayed liquidations.

Their event logs, in the format of Aave v3, are built here too; venues/evm.py serves them.
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
"""Steps between two oracle prices: an hour."""
BORROWED_EVERY: Final = 4
"""Oracle prices between two cohorts of loans."""
COLLATERAL_TO_OI: Final = 0.05
"""Ratio of the collateral of all loans of an asset to its open interest."""
CLOSE_ALL_BELOW: Final = 0.95
"""Aave v3: a liquidator may repay half of a debt, or all of it if the health factor is below this."""
BONUS: Final = 0.05
"""Liquidation bonus: collateral seized beyond the debt repaid."""
CUT: Final = 0.2
"""Relative cut of the liquidation threshold in a planted divergence, at CUT_AT; the price is not affected."""
CUT_AT: Final = timedelta(hours=12)
LAG_SECONDS: Final = (24, 900)
"""Minimum and maximum delay of a liquidation after the oracle price."""


@dataclass(frozen=True)
class Reserve:
    """A collateral token; `threshold` is the liquidation threshold, the largest debt as a fraction of its value."""

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

COMET: Final = "0xc3d688b66703497daa19211eedff47f25384cdc3"
"""Compound v3 on Ethereum, the market that lends USDC."""
COMET_SHARE: Final = 0.1
"""Collateral of a loan there, relative to that of the loan on Aave that is liquidated at the same time."""
COMET_FACTOR: Final = 0.895
"""Compound v3: the debt of an account at which it is absorbed, as a fraction of the value of its ether. A price that falls further
before anybody acts leaves debt beyond the collateral: bad debt."""
COMET_DECIMALS: Final = 8
"""Of the dollars that its events state."""
ABSORB_COLLATERAL: Final = "0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e"
ABSORB_DEBT: Final = "0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f"


@dataclass(frozen=True)
class Risk:
    """Loans opened at the same health factor: their share of all collateral, and their mean lifetime without liquidation."""

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
    """Liquidations of loans on `asset`, ordered by block time, with the columns of SCHEMA.

    `price` has one value per step, as in Paths. A loan is liquidated once, some blocks after `reached_at`, the first oracle price
    at which its health factor (collateral times price times threshold over debt) is below 1. `debt_usd` is repaid,
    `collateral_base` is seized, `left_base` is the loan's collateral before.
    """
    oracle_price = price[HEARTBEAT - 1 :: HEARTBEAT]
    reserve, character = RESERVES[asset], CHARACTERS[asset]
    threshold = _thresholds(asset, len(oracle_price), start, episodes) * reserve.threshold
    opened = np.arange(0, len(oracle_price) - 1, BORROWED_EVERY, dtype=np.int64)
    random = np.random.default_rng([seed, zlib.crc32(f"{asset} loans".encode())])
    stock = COLLATERAL_TO_OI * character.oi_usd / character.price
    found = []
    for risk in RISKS:
        decay_factor = float(np.exp(-HEARTBEAT / (DAY * risk.days_held)))
        size = stock * risk.share * (1 - decay_factor**BORROWED_EVERY) * random.lognormal(0, 0.5, len(opened))
        debt = size * oracle_price[opened] * threshold[opened] / risk.health_factor
        # The health factor is 1 where price times threshold equals debt over collateral.
        end = first_crossings(oracle_price * threshold, opened, debt / size, below=True)
        hit = end < len(oracle_price)
        at, remaining = end[hit], decay_factor ** (end[hit] - opened[hit])
        left, owed = size[hit] * remaining, debt[hit] * remaining
        health = left * oracle_price[at] * threshold[at] / owed
        # A liquidator repays no more than the collateral covers; the rest is bad debt.
        repaid = np.minimum(owed * np.where(health < CLOSE_ALL_BELOW, 1.0, 0.5), left * oracle_price[at] / (1 + BONUS))
        seized = repaid * (1 + BONUS) / oracle_price[at]
        found.append((at, health, oracle_price[at], repaid, seized, left))
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
    """A LiquidationCall log per row, in raw amounts; log indices are unique within a block."""
    reserve = RESERVES[asset]
    block = (pl.col("occurred_at") - pl.lit(GENESIS)).dt.total_seconds() // BLOCK_SECONDS
    rows = liquidations.select(block, "loan", "debt_usd", "collateral_base").iter_rows()
    topic = {token: f"0x{_word(token)}" for token in (reserve.token, DEBT_TOKEN)}
    return [
        Log(
            number,
            # Each asset has its own index range, so that indices are unique within a block.
            list(RESERVES).index(asset) * 1_000_000 + loan,
            POOL,
            (LIQUIDATION_CALL, topic[reserve.token], topic[DEBT_TOKEN], f"0x{_word(_borrower(asset, loan))}"),
            f"0x{_word(_raw(debt, DEBT_DECIMALS))}{_word(_raw(collateral, reserve.decimals))}{_word(LIQUIDATOR)}{_word(0)}",
        )
        for number, loan, debt, collateral in rows
    ]


def absorptions(asset: str, liquidations: pl.DataFrame) -> list[Log]:
    """AbsorbCollateral and AbsorbDebt of Compound v3 for every loan that Aave lets be repaid as a whole, so far it is below; those
    of less than a dollar are left."""
    reserve = RESERVES[asset]
    block = (pl.col("occurred_at") - pl.lit(GENESIS)).dt.total_seconds() // BLOCK_SECONDS
    base = pl.col("left_base") * COMET_SHARE
    deep = liquidations.filter(pl.col("health_factor") < CLOSE_ALL_BELOW, base * pl.col("price") >= 1).with_columns(
        base=base, debt=base * pl.col("price") * COMET_FACTOR / pl.col("health_factor")
    )
    found = []
    for number, loan, base, debt, price in deep.select(block, "loan", "base", "debt", "price").iter_rows():
        tx_hash = "0x" + hashlib.sha256(f"absorption {asset} {loan}".encode()).hexdigest()
        index = (10 + list(RESERVES).index(asset)) * 1_000_000 + 2 * loan
        account = tuple(f"0x{_word(address)}" for address in (LIQUIDATOR, _borrower(f"{asset} absorbed", loan)))
        taken = f"0x{_word(_raw(base, reserve.decimals))}{_word(_raw(base * price, COMET_DECIMALS))}"
        owed = f"0x{_word(_raw(debt, DEBT_DECIMALS))}{_word(_raw(debt, COMET_DECIMALS))}"
        topics = (ABSORB_COLLATERAL, *account, f"0x{_word(reserve.token)}")
        found += [
            Log(number, index, COMET, topics, taken, tx_hash),
            Log(number, index + 1, COMET, (ABSORB_DEBT, *account), owed, tx_hash),
        ]
    return found


def _word(value: int | str) -> str:
    """A number or an address as a 32-byte word."""
    return f"{value:064x}" if isinstance(value, int) else value.removeprefix("0x").rjust(64, "0")


def _raw(amount: float, decimals: int) -> int:
    """A raw amount, rounded to ten decimals and padded with zeros."""
    digits = min(decimals, 10)
    return round(amount * 10.0**digits) * int(10 ** (decimals - digits))


def _borrower(asset: str, loan: int) -> str:
    return hashlib.sha256(f"{asset} {loan}".encode()).hexdigest()[:40]


def _thresholds(asset: str, count: int, start: datetime, episodes: Sequence[Episode]) -> Path:
    """1, and lower from noon of a planted divergence on: governance permanently cuts the reserve's threshold."""
    path = np.ones(count)
    for episode in episodes:
        if episode.kind == "divergence" and episode.asset == asset:
            path[(episode.start + CUT_AT - start) // (HEARTBEAT * STEP) :] *= 1 - CUT
    return path
