"""Captures of Hyperliquid's current state: open interest and predicted funding of all perpetuals.

Facts from Hyperliquid's documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.dex.hyperliquid.wire import NAME, info
from pipelines.sources.dex.perpetuals import interest
from pipelines.sources.records import LINE, Field, Record, kept, read_records, with_facts

CONTEXTS: Final = (
    Field("name", "instrument", str),
    Field("isDelisted", "is_delisted", bool, optional=True),
    Field("openInterest", "oi_base", float),
    Field("funding", "rate", float),
    Field("markPx", "mark_price", float),
    Field("dayNtlVlm", "volume", float, optional=True),
)


async def fetch_contexts(api: Api, job: Job) -> AsyncIterator[Page]:
    """The current state of all perpetuals; open interest has no history."""
    yield await info(api, {"type": "metaAndAssetCtxs"})


def contexts(page: Page) -> Sequence[Record]:
    """States joined with names: the response has two arrays, the perpetuals and their states, in the same order."""
    try:
        meta, states = page.json()
        return [
            with_facts(state, **named) if isinstance(named, Mapping) else {}
            for named, state in zip(meta["universe"], states, strict=True)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(
            f"{page.where}: the lists of perpetuals and of their states do not match ({error}): {page.excerpt}"
        ) from error


def parse_contexts(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest in units of the instrument, of unknown counting, and the predicted rate of the next hourly settlement, at the
    time of receipt, since the response has no timestamp. Delisted perpetuals have neither and stay in the landing."""
    found = read_records(pages, contexts, CONTEXTS)
    frame = kept(found.frame, ~pl.col("is_delisted").fill_null(value=False), "delisted")
    shared = (pl.lit(NAME).alias("venue"), "instrument")
    open_interest, sentinels = counting.without_sentinels(
        frame, ("oi_base",), ("volume",), stamp="received_at", instrument="instrument"
    )
    states = interest(NAME, open_interest, counting.FACTS[NAME], at="received_at", instrument="instrument")
    yield Parsed("open_interest", states, pl.concat([found.rejects, sentinels]))
    predicted = frame.select(
        *shared,
        pl.lit("predicted").alias("kind"),
        (pl.col("received_at").dt.truncate("1h") + timedelta(hours=1)).alias("settled_at"),
        "rate",
        # The documentation says that the current rate is hourly.
        pl.lit(1.0).alias("interval_hours"),
        "mark_price",
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", predicted)
