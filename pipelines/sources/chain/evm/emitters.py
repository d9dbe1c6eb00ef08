"""Contracts that emit liquidations and are on no list: found by asking the portal for a day of all logs of known events, whatever
their address. Nothing is landed: any contract can emit any event, so somebody has to look at what is found.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import Api, Page, Span
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.lending import Family
from pipelines.sources.chain.evm.logs import FIELDS, read_logs
from pipelines.sources.chain.portal import BlockRange, Portal

LIQUIDATES: Final = re.compile("liquidat|absorb|bark|bite")
"""Names of the events that tell of a liquidation; the others announce markets or move what every user moves."""


@dataclass(frozen=True)
class Emitter:
    """A contract that is on no list: how many logs of an event it emitted on a day, and the transaction of the first."""

    address: str
    event: str
    logs: int
    first_transaction: str


def liquidation_events(families: Iterable[Family]) -> dict[str, str]:
    """Names of the events of liquidations, by topic0. Of all families: one may be deployed where it is not listed."""
    every = (event for family in families for protocol in family.protocols for event in protocol.events)
    return {event.topic0: event.name for event in every if LIQUIDATES.search(event.name)}


def listed_contracts(chain: Chain, families: Iterable[Family]) -> frozenset[str]:
    """The contracts that are listed on a chain, in lower case."""
    protocols = [protocol for family in families for protocol in family.on(chain)]
    found = [name for one in protocols for name in (*one.tokens(chain.name), *one.registries(chain.name))]
    return frozenset(name.lower() for name in found)


def emitters(pages: Iterable[Page]) -> frozenset[str]:
    """The contracts that emitted the logs of landed pages, in lower case: listed ones, and those that factories announced."""
    return frozenset(read_logs(pages)["address"].str.to_lowercase().unique())


def query(blocks: BlockRange, topics0: Collection[str]) -> dict[str, Any]:
    """Body of a portal query for events of any contract."""
    wanted = [{"topic0": sorted(topics0)}]
    return {"type": "evm", "fromBlock": blocks.first, "toBlock": blocks.last, "fields": FIELDS, "logs": wanted}


async def unlisted_emitters(
    api: Api, span: Span, events: Mapping[str, str], known: Collection[str]
) -> tuple[Emitter, ...]:
    """The contracts that emitted one of `events` (names by topic0) in `span` and are not among the `known`, those with most logs
    first. Raises NotYetPublishedError unless all blocks of the span are final."""
    portal = Portal(api)
    blocks = await portal.blocks(span)
    pages = [page async for page in portal.stream(blocks, lambda part: query(part, events))]
    told = read_logs(pages).select(
        pl.col("address").str.to_lowercase(),
        pl.col("topics").str.slice(0, 66).replace_strict(dict(events), default=None).alias("event"),
        "transactionHash",
    )
    found = (
        told.filter(~pl.col("address").is_in(list(known)), pl.col("event").is_not_null())
        .group_by("address", "event", maintain_order=True)
        .agg(pl.len().alias("logs"), pl.col("transactionHash").first())
        .sort("logs", "address", "event", descending=[True, False, False])
    )
    return tuple(Emitter(*row) for row in found.select("address", "event", "logs", "transactionHash").iter_rows())
