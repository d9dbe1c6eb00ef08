"""EVM chains as venues: one venue per chain, one feed per protocol family deployed on it.

Logs come from SQD's portal without a key, or from JSON-RPC nodes if the settings define any (endpoints evm_<chain>.rpc,
evm_<chain>.rpc_2, …). Chains are declared in chains.py, protocols in their family's module.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import SourceRules
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    WHOLE_VENUE,
    Api,
    Context,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Span,
    Venue,
)
from pipelines.sources.chain.evm import (
    aave,
    aave_v4,
    comet,
    compound,
    curve,
    euler,
    fluid,
    gmx,
    liquity,
    maker,
    morpho,
    silo,
    tokens,
)
from pipelines.sources.chain.evm.chains import CHAINS, Chain
from pipelines.sources.chain.evm.lending import (
    BAD_DEBT,
    LIQUIDATIONS,
    Family,
    Landed,
    coverage_rules,
    parse_events,
)
from pipelines.sources.chain.evm.logs import LogSource, PortalLogs
from pipelines.sources.chain.evm.nodes import NODE_REQUESTS, NODES, NodeLogs, check_node, nodes_of
from pipelines.sources.chain.portal import PORTAL, PORTAL_REQUESTS

FAMILIES: Final[Mapping[str, Family]] = {
    module.FAMILY.name: module.FAMILY
    for module in (aave, aave_v4, compound, comet, morpho, maker, liquity, euler, fluid, curve, silo)
}
"""Families of lending protocols by the name of their feed."""


def chain_venue(chain: Chain) -> Venue:
    """The venue of a chain."""
    return Venue(
        name=chain.venue,
        endpoints={PORTAL: f"https://portal.sqd.dev/datasets/{chain.portal_dataset}"},
        optional_endpoints=NODES,
        limits=(
            # Published as 20 per 10 seconds. Chains fetched at the same time share it; a 429 is waited out.
            Limit(20, 10, PORTAL_REQUESTS, share=1.0),
            # Limits of nodes differ; a 429 is waited out.
            Limit(50, 1, NODE_REQUESTS),
        ),
        feeds=(
            *(_lending_feed(chain, family) for family in FAMILIES.values() if family.on(chain)),
            *gmx.feeds(chain, partial(log_source, chain=chain)),
        ),
        check=check,
        concurrency=2,
        notes=(
            f"Event logs of {chain.name}: finalized blocks from SQD's portal, hours behind; or from nodes, if the settings define "
            f"any as `{chain.venue}.rpc`, `{chain.venue}.rpc_2`, … (of several nodes, two must agree). A node is also asked for "
            "symbol, decimals and underlying of tokens that the registry does not list. Not read: Silo v1 and v3, Radiant, "
            "Seamless, Ajna, and any market that is neither in the seed chain_contracts nor announced by a "
            "comptroller, registry or factory that is."
        ),
    )


def log_source(api: Api, chain: Chain) -> LogSource:
    """The nodes if there are any, else the portal."""
    return NodeLogs(api, confirmations=chain.confirmations) if nodes_of(api.endpoints) else PortalLogs(api)


def check(page: Page) -> None:
    """A node may report a rate limit in an answer of status 200. The portal reports all errors by status."""
    if page.request["endpoint"] != PORTAL:
        check_node(page)


def _lending_feed(chain: Chain, family: Family) -> Feed:
    protocols = family.on(chain)
    return Feed(
        name=family.name,
        tables=(LIQUIDATIONS, *((BAD_DEBT,) if any(p.bad_debt for p in protocols) else ()), tokens.TABLE),
        description=family.description,
        fetch=partial(_fetch, chain=chain, family=family),
        subjects=partial(_subjects, months) if (months := later_lists(chain, family)) else None,
        parse=partial(_parse, chain=chain, family=family),
        retention=Retention(since=min(protocol.since[chain.name] for protocol in protocols)),
        cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
        partitioning=Partitioning(months="past"),
        rules=partial(_rules, chain=chain, family=family),
        rules_of_subjects=partial(_rules_of_lists, chain=chain, family=family),
        # 2: a log that was answered twice is one.
        parser_version=2,
    )


async def _fetch(api: Api, job: Job, *, chain: Chain, family: Family) -> AsyncIterator[Page]:
    """The events; then, from a node if there is one, metadata of their tokens that the registry does not list."""
    month = "" if job.subject == WHOLE_VENUE else job.subject
    protocols = [one for protocol in family.on(chain) if (one := protocol.of_list(chain.name, month))]
    pages: list[Page] = []
    async for fetched in family.fetch(log_source(api, chain), job.span, chain, protocols):
        page = replace(fetched, subject=job.subject)
        pages.append(page)
        yield page
    if nodes_of(api.endpoints) and pages:
        events = [parsed.rows for parsed in parse_events(pages, chain, protocols)]
        names = tokens.unregistered(chain.name, events)
        node = NodeLogs(api, confirmations=chain.confirmations)
        async for page in node.calls(tokens.calls(names["token"].to_list())):
            yield replace(page, subject=job.subject)


def later_lists(chain: Chain, family: Family) -> tuple[str, ...]:
    """Months in which contracts of the family were added to the first list of a chain. Each is a subject of its own, so that the
    next fetch asks for what earlier landings lack and for nothing else."""
    months = {month for protocol in family.on(chain) for month in protocol.lists(chain.name)}
    return tuple(sorted(months - {""}))


def _subjects(months: Sequence[str], instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
    return {name: {} for name in (WHOLE_VENUE, *months)}


def _rules_of_lists(landed: Sequence[tuple[Span, frozenset[str]]], *, chain: Chain, family: Family) -> SourceRules:
    spans = [Landed(span, frozenset("" if name == WHOLE_VENUE else name for name in names)) for span, names in landed]
    return coverage_rules(spans, chain, family.on(chain))


def _parse(pages: Sequence[Page], context: Context, *, chain: Chain, family: Family) -> Iterator[Parsed]:
    """Liquidations, bad debt, and metadata of tokens."""
    events = list(parse_events(pages, chain, family.on(chain)))
    yield from events
    names = tokens.unregistered(chain.name, [parsed.rows for parsed in events])
    yield Parsed(tokens.TABLE, tokens.read_tokens(pages, chain.name, names))


def _rules(spans: Sequence[Span], *, chain: Chain, family: Family) -> SourceRules:
    """Coverage of spans in which every list was asked for."""
    lists = frozenset(("", *later_lists(chain, family)))
    return coverage_rules([Landed(span, lists) for span in spans], chain, family.on(chain))


VENUES: Final[Mapping[str, Venue]] = {chain.venue: chain_venue(chain) for chain in CHAINS}
