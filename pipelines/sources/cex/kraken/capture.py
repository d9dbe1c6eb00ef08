"""Captures of Kraken's current open interest, from the tickers. A snapshot yields to the history of the same day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.cex.kraken.wire import PERPETUAL, open_interest, unknown_contracts, with_contracts
from pipelines.sources.records import LINE, SUBJECT, Field, at_path, having, kept, read_records

TICKERS: Final = (
    Field("symbol", "name", str),
    # Missing in tickers of suspended contracts and of indices.
    Field("openInterest", "contracts", float, optional=True),
    Field("vol24h", "volume", float, optional=True),
)


async def fetch_current_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The tickers of all contracts in one response."""
    yield await api.get("/derivatives/api/v3/tickers")


def parse_current_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Current open interest of perpetuals, in coin (PF) or dollars (PI). Tickers have no timestamp, so the time of receipt is
    used; the response's serverTime is from another clock."""
    found = read_records(pages, at_path("tickers"), TICKERS, needed=having("symbol", PERPETUAL))
    named = found.frame.with_columns(pl.col("name").str.to_uppercase().alias(SUBJECT))
    frame = with_contracts(kept(named, pl.col(SUBJECT).str.contains(PERPETUAL), "other_kind"), context)
    frame, sentinels = counting.without_sentinels(frame, ("contracts",), ("volume",), stamp="received_at")
    known = frame.filter(pl.col("type").is_not_null())
    rows = kept(known, pl.col("contracts").is_not_null(), "no_value").select(
        *open_interest("snapshot", pl.col("received_at")), LINE
    )
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown_contracts(frame, "received_at"), sentinels]))
