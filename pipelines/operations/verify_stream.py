"""Matches what a stream said with what the venue's REST said of the same liquidations, to settle what no document settles.

Reads landings, no database. It reports counts; which meaning is right is for whoever reads them to decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.errors import ConfigError
from pipelines.core.limits import in_force
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.record import chosen_streams
from pipelines.sources import registry

TABLE: Final = "liquidations"
SCHEMA: Final[dict[str, pl.DataType]] = {
    "instrument": pl.String(), "at": pl.Datetime("us"), "price": pl.Float64(), "quantity": pl.Float64(), "says": pl.String(),
}  # fmt: skip
DIGITS: Final = 10


@dataclass(frozen=True)
class Match:
    """Events of a stream that REST has too (same instrument, second and price): what the stream says, and the side by REST.
    `rest_side` None: REST has no such row."""

    says: str
    rest_side: str | None
    events: int


def verify(settings: Settings, name: str) -> list[Match]:
    """Match the landed stream of a venue with its landed REST liquidations, on the days that both have.

    Raises ConfigError for a venue without a stream, or whose REST has no liquidations to compare with.
    """
    ((venue, stream),) = chosen_streams([name])
    feeds = [feed.name for feed in venue.feeds if TABLE in feed.tables]
    if not feeds:
        raise ConfigError(f"record: {name} has no REST feed of liquidations to compare its stream with.")
    with in_force(settings.limits):
        store, contract = LandingStore(settings.root), load_contract(settings.schema_dir)
        heard = pl.concat(_events(store, contract, venue.source(stream)))
        told = pl.concat(frame for feed in feeds for frame in _events(store, contract, f"{venue.name}.{feed}"))
    return match(heard, told)


def match(heard: pl.DataFrame, told: pl.DataFrame) -> list[Match]:
    """Counts by what the stream says and by REST's side, of the days that REST has. Equal events are matched one to one."""
    key = ["instrument", "second", "digits"]
    numbered = [
        frame.with_columns(
            pl.col("at").dt.truncate("1s").alias("second"), pl.col("price").round_sig_figs(DIGITS).alias("digits")
        ).with_columns(pl.int_range(pl.len()).over(key).alias("number"))
        for frame in (heard, told)
    ]
    days = numbered[1]["second"].dt.date().unique()
    known = numbered[0].filter(pl.col("second").dt.date().is_in(days.implode()))
    sides = numbered[1].select(*key, "number", pl.col("says").alias("rest_side"))
    counted = (
        known.join(sides, on=[*key, "number"], how="left")
        .group_by("says", "rest_side")
        .agg(pl.len().alias("events"))
        .sort("says", "rest_side", nulls_last=True)
    )
    return [Match(**row) for row in counted.iter_rows(named=True)]


def _events(store: LandingStore, contract: Contract, source: str) -> Iterator[pl.DataFrame]:
    """Events of a source's landings: rows with their side, and rejects that only lack one, with the sign of their size."""
    yield pl.DataFrame(schema=SCHEMA)
    landings = store.current(source)
    if not landings:
        return
    parse = registry.open_source(store, contract, source, landings).parse
    for landing in landings:
        for batch in parse(landing):
            if batch.table != TABLE:
                continue
            rows = batch.rows
            if rows.height:
                yield rows.select(
                    "instrument", pl.col("occurred_at").alias("at"), "price", pl.col("quantity_base").alias("quantity"),
                    pl.col("side").alias("says"),
                )  # fmt: skip
            yield _unsided(batch.rejects)


def _unsided(rejects: pl.DataFrame) -> pl.DataFrame:
    raw = rejects.filter(pl.col("reason") == "undecodable")["raw"]
    kept = {"instrument": pl.String, "at_ms": pl.Int64, "price": pl.Float64, "amount": pl.Float64}
    return (
        raw.str.json_decode(pl.Struct(kept))
        .struct.unnest()
        .select(
            "instrument",
            (pl.col("at_ms") * 1000).cast(pl.Datetime("us")).alias("at"),
            "price",
            pl.col("amount").abs().alias("quantity"),
            pl.when(pl.col("amount") < 0).then(pl.lit("size < 0")).otherwise(pl.lit("size > 0")).alias("says"),
        )
        if raw.len()
        else pl.DataFrame(schema=SCHEMA)
    )


def verdict(found: Sequence[Match]) -> str:
    """The matches in words."""
    if not found:
        return "nothing to compare: no day has both recorded and fetched liquidations"
    return "; ".join(f"{one.says}: {one.events} events, REST says {one.rest_side or 'nothing'}" for one in found)
