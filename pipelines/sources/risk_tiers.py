"""Rows of clean.risk_tiers from a venue's table of risk limits: numbers tiers, converts bounds, names unknown instruments.

The fields of each payload are in the venue's module. Nothing here fetches.
"""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

import polars as pl

from pipelines.extract.venue import Capture, Context, Feed, Fetch, Parse, Parsed, Retention, Subjects
from pipelines.sources.records import LINE, rejected

RISK_TIERS: Final = "risk_tiers"
"""Name of the feed and of its table."""

DOLLARS: Final = ("USD", "USDT", "USDC", "USD1", "USDH", "USDE", "USDF")
"""Quote currencies that count as dollars."""

DEFAULT_SCHEDULE: Final = "default"

BoundUnit = Literal["contracts", "base", "quote"]

_FACTS: Final = ("contract_type", "contract_size", "contract_size_unit", "multiplier", "quote")


def feed_of_risk_tiers(
    fetch: Fetch, parse: Parse, *, what: str, subjects: Subjects | None = None, parser_version: int = 1
) -> Feed:
    """The daily capture of a venue's risk limits. `what` says of which instruments."""
    return Feed(
        name=RISK_TIERS,
        tables=(RISK_TIERS,),
        description=f"Leverage limit and margin rates by size of the position, {what}, captured every day.",
        fetch=fetch,
        parse=parse,
        retention=Retention(since=date(2020, 1, 1)),
        cadence=Capture(every_hours=24),
        subjects=subjects,
        parser_version=parser_version,
    )


def by_upper_bound(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with `lower`: a tier begins where the one before it ends, for venues that publish only `upper`. A tier that is told
    twice keeps its bounds."""
    per_table = _tables(frame)
    ordered = frame.sort("upper", nulls_last=True, maintain_order=True)
    before = pl.col("upper").shift(1)
    is_again = pl.int_range(pl.len()).gt(0) & pl.col("upper").eq_missing(before)
    begins = pl.when(~is_again).then(before.fill_null(0.0))
    return ordered.with_columns(begins.forward_fill().over(per_table).alias("lower"))


def by_lower_bound(frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with `upper`: a tier ends where the next begins, and the last one nowhere, for venues that publish only `lower`.
    A tier that is told twice keeps its bounds."""
    per_table = _tables(frame)
    ordered = frame.sort("lower", maintain_order=True)
    behind = pl.col("lower").shift(-1)
    ends = pl.when(pl.col("lower") != behind).then(behind)
    return ordered.with_columns(ends.backward_fill().over(per_table).alias("upper"))


def risk_tiers(
    venue: str,
    frame: pl.DataFrame,
    rejects: pl.DataFrame,
    context: Context,
    *,
    unit: pl.Expr | BoundUnit,
) -> Parsed:
    """Rows of clean.risk_tiers. `frame` has instrument, lower, upper, max_leverage, initial, maintenance, deduction, received_at
    and the line; also `schedule` where a venue has several tables. Tiers are numbered by size, because venues number them over all
    instruments, from 0, or not at all.

    `unit` is what bounds are stated in, which may depend on `contract_type`. The size of a contract makes coins or dollars of it.
    """
    facts = context.instruments.select("instrument", *_FACTS)
    joined = frame.join(facts, on="instrument", how="left", maintain_order="left")
    if "schedule" not in joined.columns:
        joined = joined.with_columns(pl.lit(DEFAULT_SCHEDULE).alias("schedule"))
    stated = pl.lit(unit) if isinstance(unit, str) else unit
    listed = joined.filter(pl.col("contract_type").is_not_null()).with_columns(stated.alias("bound_unit"))
    size, size_unit = pl.col("contract_size"), pl.col("contract_size_unit")
    is_dollars = pl.col("quote").is_in(DOLLARS)
    contracts, base, quote = (pl.col("bound_unit") == one for one in ("contracts", "base", "quote"))

    def in_usd(bound: str) -> pl.Expr:
        amount = pl.col(bound)
        return pl.when(quote & is_dollars).then(amount).when(contracts & (size_unit == "usd")).then(amount * size)

    def in_base(bound: str) -> pl.Expr:
        amount = pl.col(bound) * pl.col("multiplier")
        return pl.when(base).then(amount).when(contracts & (size_unit == "base")).then(amount * size)

    # The pages of a table are received one after the other, and are one snapshot.
    captured = pl.col("received_at").max().over("instrument", "schedule")
    rows = listed.select(
        pl.lit(venue).alias("venue"),
        "instrument",
        "schedule",
        pl.col("lower").rank("dense").over("instrument", "schedule").cast(pl.Int32).alias("tier"),
        captured.alias("snapshot_at"),
        pl.col("lower").alias("lower_bound"),
        pl.col("upper").alias("upper_bound"),
        "bound_unit",
        in_usd("lower").alias("lower_bound_usd"),
        in_usd("upper").alias("upper_bound_usd"),
        in_base("lower").alias("lower_bound_base"),
        in_base("upper").alias("upper_bound_base"),
        "max_leverage",
        pl.col("initial").alias("initial_margin_rate"),
        pl.col("maintenance").alias("maintenance_margin_rate"),
        pl.col("deduction").alias("maintenance_deduction"),
        captured.alias("available_at"),
        LINE,
    )
    unknown = rejected(
        joined.filter(pl.col("contract_type").is_null()).select(*frame.columns),
        reason="unknown_instrument", detail="in no capture of the venue's instruments", instrument="instrument",
    )  # fmt: skip
    return Parsed(RISK_TIERS, rows, pl.concat([rejects, unknown]))


def _tables(frame: pl.DataFrame) -> list[str]:
    return [name for name in ("instrument", "schedule") if name in frame.columns]
