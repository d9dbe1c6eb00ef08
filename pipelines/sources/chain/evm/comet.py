"""Compound v3 (Comet): AbsorbCollateral and AbsorbDebt. Debt absorbed beyond what its collateral is worth is bad debt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.contracts import COMPOUND_V3_UNITS
from pipelines.sources.chain.evm.lending import POSITION, BadDebt, Decoded, Family, Protocol, scaled, stated

# usd_value has 8 decimals and counts what the price feeds of the comet count: dollars, or the unit of contracts.py
# (ETH, WSTETH, BTC). BuyCollateral is the protocol's later sale and not a liquidation.
ABSORB_COLLATERAL: Final = EventSpec.declared(
    "absorb_collateral",
    "0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e",
    "AbsorbCollateral(address indexed absorber, address indexed borrower, address indexed asset, "
    "uint256 collateral_absorbed, uint256 usd_value)",
)
ABSORB_DEBT: Final = EventSpec.declared(
    "absorb_debt",
    "0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f",
    "AbsorbDebt(address indexed absorber, address indexed borrower, uint256 base_paid_out, uint256 usd_value)",
)

EVENTS: Final = (ABSORB_COLLATERAL, ABSORB_DEBT)
VALUE_DECIMALS: Final = 8

ABSORPTION: Final = ("tx_hash", "address", "borrower")
"""Columns that the events of one absorption share."""


_SHARES: Final[dict[str, pl.DataType]] = {
    "collateral_index": pl.Int64(),
    "debt_index": pl.Int64(),
    "repaid_raw": pl.String(),
    "repaid_value": pl.String(),
    "bad_raw": pl.String(),
    "bad_value": pl.String(),
}


def _absorptions(decoded: Decoded) -> pl.DataFrame:
    """One row per absorbed collateral, with its share of the debt that the collateral of its absorption covers."""
    shares = _shares(decoded).drop_nulls("collateral_index").with_columns(log_index=pl.col("collateral_index"))
    rows = decoded[ABSORB_COLLATERAL.name].join(
        shares, on=[*ABSORPTION, "log_index"], how="left", maintain_order="left"
    )
    repaid = pl.col("repaid_raw").is_not_null()
    return rows.select(
        *POSITION,
        "borrower",
        pl.col("absorber").alias("liquidator"),
        pl.col("asset").alias("collateral_token"),
        pl.col("collateral_absorbed").alias("collateral_amount_raw"),
        pl.when(repaid).then("contract_token").alias("debt_token"),
        pl.col("repaid_raw").alias("debt_amount_raw"),
        *stated(collateral=scaled("usd_value", VALUE_DECIMALS), debt=scaled("repaid_value", VALUE_DECIMALS)),
    )


def _bad_debt(decoded: Decoded) -> pl.DataFrame:
    """One row per AbsorbDebt of more than the collateral of its absorption is worth: the part beyond it. An account without
    collateral is absorbed as a whole."""
    bad = _shares(decoded).filter(pl.col("bad_raw") != "0").with_columns(log_index=pl.col("debt_index"))
    bad = bad.unique([*ABSORPTION, "log_index"], maintain_order=True)
    return (
        decoded[ABSORB_DEBT.name]
        .join(bad, on=[*ABSORPTION, "log_index"], maintain_order="left")
        .select(
            *POSITION,
            pl.lit("AbsorbDebt").alias("event"),
            "borrower",
            pl.col("contract_token").alias("debt_token"),
            pl.col("bad_raw").alias("debt_amount_raw"),
            *stated(debt=scaled("bad_value", VALUE_DECIMALS)),
        )
    )


def _shares(decoded: Decoded) -> pl.DataFrame:
    """One row per collateral that a debt follows in its absorption, and per debt without collateral: ABSORPTION and _SHARES.

    The debt that the collateral is worth is shared over the collaterals by their values, to the unit; what is beyond is bad debt.
    """
    debts = decoded[ABSORB_DEBT.name].select(
        *ABSORPTION, pl.col("log_index").alias("debt_index"), "base_paid_out", pl.col("usd_value").alias("debt_value")
    )
    collateral = decoded[ABSORB_COLLATERAL.name].select(*ABSORPTION, "log_index", "usd_value").sort("log_index")
    taken = collateral.join_asof(
        debts.select(*ABSORPTION, "debt_index").sort("debt_index"),
        left_on="log_index", right_on="debt_index", by=list(ABSORPTION), strategy="forward", check_sortedness=False,
    )  # fmt: skip
    groups = debts.join(
        taken.drop_nulls("debt_index").group_by(*ABSORPTION, "debt_index", maintain_order=True).agg("log_index", "usd_value"),
        on=[*ABSORPTION, "debt_index"], how="left", maintain_order="left",
    )  # fmt: skip
    rows = []
    for *absorption, debt_index, paid, debt_value, indexes, values in groups.iter_rows():
        worth = [int(value) for value in values or ()]
        raw, value = int(paid), int(debt_value)
        covered_value = min(value, sum(worth))
        # A debt worth nothing, as of dust, is no loss.
        covered = raw * covered_value // value if value else raw
        last = (str(raw - covered), str(value - covered_value))
        if not indexes:
            rows.append((*absorption, None, debt_index, None, None, str(raw), str(value)))
            continue
        for index, part, part_value in zip(indexes, split(covered, worth), split(covered_value, worth), strict=True):
            rows.append((*absorption, index, debt_index, str(part), str(part_value), *last))
    schema = {**dict.fromkeys(ABSORPTION, pl.String()), **_SHARES}
    return pl.DataFrame(rows, schema=schema, orient="row")


def split(total: int, weights: Sequence[int]) -> Iterator[int]:
    """`total` in parts proportional to `weights`, which add up to it exactly; all of it in the last part if there is no weight."""
    whole, before, given = sum(weights), 0, 0
    for number, weight in enumerate(weights, start=1):
        before += weight
        until = total * before // whole if whole else total if number == len(weights) else 0
        yield until - given
        given = until


FAMILY: Final = Family(
    "comet",
    "AbsorbCollateral of Compound v3, in the unit of account that the event states; AbsorbDebt, shared over the collaterals of "
    "its absorption by their values. Debt beyond the value of the collateral is bad debt.",
    (
        Protocol.declared(
            "compound_v3",
            events=EVENTS,
            rows=_absorptions,
            bad_debt=BadDebt(_bad_debt, shared=EVENTS),
            units=COMPOUND_V3_UNITS,
        ),
    ),
)
