"""Captures of Gate's current open interest, from the list of contracts: the venue's own second source.

`position_size` counts one side (public comparisons of August and September 2026 found half of the open interest of
contract_stats), so the two endpoints tell what the statistics count. A snapshot yields to the history of the same day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.cex.gate.wire import NAME, SETTLEMENTS, root_array, with_contracts
from pipelines.sources.records import LINE, Field, kept, read_records, rejected

POSITIONS: Final = (
    Field("name", "instrument", str),
    Field("position_size", "contracts", float, optional=True),
    Field("long_users", "longs", int, optional=True),
    Field("short_users", "shorts", int, optional=True),
)


async def fetch_current_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts listed now, one response per settlement currency."""
    for settled_in in SETTLEMENTS:
        yield await api.get(f"/futures/{settled_in}/contracts")


def parse_current_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Current open interest in coin, or in dollars for inverse contracts. The list has no timestamp, so the time of
    receipt is used."""
    found = read_records(pages, root_array, POSITIONS)
    frame = with_contracts(kept(found.frame, pl.col("contracts").is_not_null(), "no_value"), context, "instrument")
    unknown = rejected(
        frame.filter(pl.col("type").is_null()), reason="unknown_instrument", detail="in no capture of Gate's contracts",
        stamp="received_at", instrument="instrument",
    )  # fmt: skip
    states, sentinels = counting.without_sentinels(
        frame.filter(pl.col("type").is_not_null()), ("contracts",), ("longs", "shorts"), stamp="received_at",
        instrument="instrument",
    )  # fmt: skip
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts") * pl.col("size")
    rows = states.select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit("snapshot").alias("period"),
        pl.col("received_at").alias("event_at"),
        pl.when(~inverse).then(amount).alias("oi_base"),
        pl.when(inverse).then(amount).alias("oi_usd"),
        pl.col("contracts").alias("oi_raw"),
        pl.lit("contracts").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown, sentinels]))
