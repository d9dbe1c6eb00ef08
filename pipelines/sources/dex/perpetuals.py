"""Instruments of the on-chain exchanges: linear perpetuals with amounts in coin, so contracts have no size.

Parsing of a venue's list is in the venue's module; mapping symbols to assets is in pipelines.core.universe.
"""

from __future__ import annotations

import polars as pl

from pipelines.extract.venue import Parsed
from pipelines.sources.instruments import parse_symbols
from pipelines.sources.records import LINE, Records, rejected


def linear_perpetuals(venue: str, found: Records) -> Parsed:
    """Rows of clean.instruments from the column `instrument` of `found.frame`, valid from the day of receipt.

    These lists have neither listing nor delisting dates. Symbols that match no rule of the venue are rejected.
    """
    known = parse_symbols(venue, found.frame["instrument"])
    frame = found.frame.join(known, on="instrument", how="left", maintain_order="left")
    rows = frame.filter(pl.col("asset").is_not_null()).select(
        pl.lit(venue).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        pl.lit("linear").alias("contract_type"),
        pl.lit(None, pl.Float64).alias("contract_size"),
        pl.lit(None, pl.String).alias("contract_size_unit"),
        "multiplier",
        pl.lit(None, pl.Datetime("us")).alias("listed_at"),
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(pl.col("asset").is_null()), reason="unknown_instrument", instrument="instrument",
        detail=f"the name follows no rule of {venue}'s",
    )  # fmt: skip
    return Parsed("instruments", rows, pl.concat([found.rejects, unknown]))
