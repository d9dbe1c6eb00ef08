"""Bad debt of lending protocols to rows of clean.lending_bad_debt: debt that no collateral was left for, by protocol.

It is a loss of the lenders and no liquidation: nothing of it is in clean.lending_liquidations, which evm_lending makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec, names_event
from pipelines.sources.chain.evm.lending import (
    ABSORB_COLLATERAL,
    ABSORB_DEBT,
    EULER_PROXY_CREATED,
    MORPHO_CREATE_MARKET,
    MORPHO_LIQUIDATE,
    PLACE,
    Decoded,
    Rows,
    clean_rows,
    decode_events,
    euler_lent,
    morpho_markets,
    placed_debts,
    rejected_logs,
    scaled,
)

TABLE: Final = "lending_bad_debt"

ROW: Final[dict[str, pl.DataType]] = {
    "event": pl.String(),
    "borrower": pl.String(),
    "debt_token": pl.String(),
    "debt_amount_raw": pl.String(),
    "debt_usd": pl.Float64(),
}

# Aave v3.3: the pool, beside the LiquidationCall that took the last collateral. One per reserve that is still owed.
DEFICIT_CREATED: Final = EventSpec.declared(
    "deficit_created",
    "0x2bccfb3fad376d59d7accf970515eb77b2f27b082c90ed0fb15583dd5a942699",
    "DeficitCreated(address indexed user, address indexed debt_asset, uint256 amount_created)",
)
# Euler v2: the vault, in the liquidation that left debt and no collateral.
DEBT_SOCIALIZED: Final = EventSpec.declared(
    "debt_socialized",
    "0xe786d0bc2e83bf230ed9895a9c4d7756ab0c6e22eb8a4ff69c161ece76bd36df",
    "DebtSocialized(address indexed account, uint256 assets)",
)
# Venus isolated pools: the vToken, when an account whose collateral is worth less than its debt is healed.
BAD_DEBT_INCREASED: Final = EventSpec.declared(
    "bad_debt_increased",
    "0x90125ffdb441e57c4f6bf69789206424859f206bea5727f2d81ad2470826ef6a",
    "BadDebtIncreased(address indexed borrower, uint256 bad_debt_delta, uint256 bad_debt_old, uint256 bad_debt_new)",
)

EVENTS: Final = (DEFICIT_CREATED, DEBT_SOCIALIZED, BAD_DEBT_INCREASED)
"""Events of bad debt alone. Morpho's Liquidate and Comet's AbsorbDebt tell of both."""


@dataclass(frozen=True)
class BadDebt:
    """How a protocol tells of bad debt: `events` are all it takes to make `rows`, `own` those that tell of nothing else.

    `since` is the month by chain since when it tells, where that is later than the protocol itself.
    """

    events: tuple[EventSpec, ...]
    rows: Rows
    since: Mapping[str, date] = field(default_factory=dict)

    @property
    def own(self) -> tuple[EventSpec, ...]:
        return tuple(event for event in self.events if event in EVENTS)


def bad_debt_rows(
    logs: pl.DataFrame, protocol: str, chain: str, told: BadDebt, *, finality: timedelta
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of clean.lending_bad_debt and rejects, from one protocol's logs of the events of `told`.

    A log of an event that tells of liquidations too is turned away there where it cannot be read, and not a second time here.
    """
    decoded, faults = decode_events(logs, protocol, told.events)
    made, unsound = clean_rows(
        told.rows(decoded), ROW, protocol, chain, stated=pl.col("debt_usd").is_not_null(), finality=finality
    )
    return made, rejected_logs(logs.filter(names_event(told.own)), [*faults, unsound])


def _aave(decoded: Decoded) -> pl.DataFrame:
    return decoded[DEFICIT_CREATED.name].select(
        *PLACE,
        pl.lit("DeficitCreated").alias("event"),
        pl.col("user").alias("borrower"),
        pl.col("debt_asset").alias("debt_token"),
        pl.col("amount_created").alias("debt_amount_raw"),
    )


def _comet(decoded: Decoded) -> pl.DataFrame:
    """Debt absorbed with nothing seized for it: what an earlier absorption left, or an account that had no collateral."""
    return (
        placed_debts(decoded)
        .filter("lone")
        .select(
            *PLACE,
            pl.lit("AbsorbDebt").alias("event"),
            "borrower",
            pl.col("emitter_token").alias("debt_token"),
            pl.col("base_paid_out").alias("debt_amount_raw"),
            scaled("usd_value", 8).alias("debt_usd"),
        )
    )


def _morpho(decoded: Decoded) -> pl.DataFrame:
    """What a liquidation left owed in its market. A market of unknown tokens turns the liquidation away."""
    return (
        decoded[MORPHO_LIQUIDATE.name]
        .filter(pl.col("bad_debt_assets") != "0")
        .join(morpho_markets(decoded), on="id", maintain_order="left")
        .select(
            *PLACE,
            pl.lit("Liquidate").alias("event"),
            "borrower",
            pl.col("loan_token").alias("debt_token"),
            pl.col("bad_debt_assets").alias("debt_amount_raw"),
        )
    )


def _euler(decoded: Decoded) -> pl.DataFrame:
    return euler_lent(decoded, DEBT_SOCIALIZED).select(
        *PLACE,
        pl.lit("DebtSocialized").alias("event"),
        pl.col("account").alias("borrower"),
        "debt_token",
        pl.col("assets").alias("debt_amount_raw"),
        "fault",
    )


def _venus(decoded: Decoded) -> pl.DataFrame:
    return decoded[BAD_DEBT_INCREASED.name].select(
        *PLACE,
        pl.lit("BadDebtIncreased").alias("event"),
        "borrower",
        pl.col("emitter_token").alias("debt_token"),
        pl.col("bad_debt_delta").alias("debt_amount_raw"),
    )


AAVE: Final = BadDebt(
    (DEFICIT_CREATED,),
    _aave,
    # v3.3 reached the pools in February 2025; before it, debt without collateral stayed on the account and nobody said so. ?
    dict.fromkeys(("ethereum", "arbitrum", "optimism", "base", "polygon", "avalanche", "bnb"), date(2025, 2, 1)),
)
COMET: Final = BadDebt((ABSORB_COLLATERAL, ABSORB_DEBT), _comet)
MORPHO: Final = BadDebt((MORPHO_LIQUIDATE, MORPHO_CREATE_MARKET), _morpho)
EULER: Final = BadDebt((DEBT_SOCIALIZED, EULER_PROXY_CREATED), _euler)
VENUS_ISOLATED: Final = BadDebt((BAD_DEBT_INCREASED,), _venus)
