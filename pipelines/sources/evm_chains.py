"""EVM chains as venues, one each, with a feed per family of lending protocols and those of GMX: liquidations from logs.

The portal is asked without a key. Where the settings name nodes (endpoints evm_<chain>.rpc, evm_<chain>.rpc_2, …), those
are asked instead. Events and rows stand in evm_lending, contracts in evm_emitters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Final

import polars as pl

from pipelines.clean.batch import CoverageSpan, SourceRules, no_rejects
from pipelines.extract.limits import Limit
from pipelines.extract.logs import NODE_REQUESTS, PORTAL, PORTAL_REQUESTS, LogFilter, LogSource, PortalLogs
from pipelines.extract.logs_node import NodeLogs, check_node, nodes_of
from pipelines.extract.venue import Api, Context, Feed, Job, Page, Parsed, Span, Venue
from pipelines.sources import evm_bad_debt as bad_debt
from pipelines.sources import evm_emitters as emitters
from pipelines.sources import evm_fluid as fluid
from pipelines.sources import evm_lending as lending
from pipelines.sources.evm import AAVE_LIQUIDATION_CALL, EventSpec
from pipelines.sources.evm_gmx import gmx_feeds
from pipelines.sources.evm_logs import read_logs
from pipelines.sources.instruments import runs_of_days
from pipelines.sources.records import rejected

TABLE: Final = "lending_liquidations"
MARKETS_AT_ONCE: Final = 100
VAULTS_AT_ONCE: Final = 500


@dataclass(frozen=True)
class Chain:
    """`dataset` is the portal's name of it. `confirmations` is how many blocks behind a node's head count as final;
    `finality` how long after its block an event could be relied on, where nobody waits for the portal."""

    name: str
    dataset: str
    confirmations: int
    finality: timedelta


@dataclass(frozen=True)
class Protocol:
    """A lending protocol: `events` are all it takes to make `rows`, `since` the month in which its first market opened.

    `announces` is the event by which the listed emitters tell of further ones, in its first indexed word. `bad_debt` is how
    it tells of debt that no collateral was left for; None where no event does.
    """

    name: str
    since: Mapping[str, date]
    emitters: emitters.Emitters
    events: tuple[EventSpec, ...]
    rows: lending.Rows
    announces: EventSpec | None = None
    bad_debt: bad_debt.BadDebt | None = None

    @property
    def topics(self) -> tuple[str, ...]:
        """Hashes of all events it is asked for."""
        told = self.bad_debt.own if self.bad_debt else ()
        return tuple(sorted({event.topic0 for event in (*self.events, *told)}))


# Ethereum: two epochs. Rollups are as final as the batch that Ethereum holds of them. ?
ETHEREUM_CHAIN: Final = Chain("ethereum", "ethereum-mainnet", 64, timedelta(minutes=15))
CHAINS: Final = (
    ETHEREUM_CHAIN,
    Chain("arbitrum", "arbitrum-one", 7_200, timedelta(minutes=30)),
    Chain("optimism", "optimism-mainnet", 900, timedelta(minutes=30)),
    Chain("base", "base-mainnet", 900, timedelta(minutes=30)),
    Chain("polygon", "polygon-mainnet", 256, timedelta(minutes=10)),
    Chain("avalanche", "avalanche-mainnet", 20, timedelta(minutes=1)),
    Chain("bnb", "binance-mainnet", 50, timedelta(minutes=1)),
)

# `since` is the month of the first deployment, or an earlier one: days before it are empty and cost one request.
_AAVE_V3_SINCE: Final = {
    **dict.fromkeys(("arbitrum", "optimism", "polygon", "avalanche"), date(2022, 3, 1)),
    "ethereum": date(2023, 1, 1), "base": date(2023, 8, 1), "bnb": date(2023, 11, 1),
}  # fmt: skip
_COMET_SINCE: Final = {
    "ethereum": date(2022, 8, 1), "polygon": date(2023, 2, 1), "arbitrum": date(2023, 5, 1), "base": date(2023, 8, 1),
    "optimism": date(2024, 3, 1),
}  # fmt: skip

FAMILIES: Final[Mapping[str, tuple[Protocol, ...]]] = {
    "aave": (
        Protocol(
            "aave_v1", {"ethereum": date(2020, 1, 1)}, emitters.AAVE_V1,
            (lending.AAVE_V1_LIQUIDATION_CALL,), lending.AAVE_V1,
        ),
        Protocol(
            "aave_v2",
            {"ethereum": date(2020, 12, 1), "polygon": date(2021, 3, 1), "avalanche": date(2021, 10, 1)},
            emitters.AAVE_V2, (AAVE_LIQUIDATION_CALL,), lending.AAVE,
        ),
        Protocol(
            "aave_v3", _AAVE_V3_SINCE, emitters.AAVE_V3, (AAVE_LIQUIDATION_CALL,), lending.AAVE, bad_debt=bad_debt.AAVE
        ),
        Protocol("spark", {"ethereum": date(2023, 5, 1)}, emitters.SPARK, (AAVE_LIQUIDATION_CALL,), lending.AAVE),
    ),
    "compound_v2": tuple(
        Protocol(
            name, {chain: since}, listed, (lending.LIQUIDATE_BORROW, lending.LIQUIDATE_BORROW_INDEXED), lending.COMPOUND_V2
        )
        for name, chain, since, listed in (
            ("compound_v2", "ethereum", date(2019, 5, 1), emitters.COMPOUND_V2),
            ("benqi", "avalanche", date(2021, 8, 1), emitters.BENQI),
            ("venus", "bnb", date(2020, 11, 1), emitters.VENUS),
            ("moonwell", "base", date(2023, 8, 1), emitters.MOONWELL),
        )
    ),
    "comet": (
        Protocol(
            "compound_v3", _COMET_SINCE, emitters.COMPOUND_V3,
            (lending.ABSORB_COLLATERAL, lending.ABSORB_DEBT), lending.absorbed, bad_debt=bad_debt.COMET,
        ),
    ),
    "morpho": (
        Protocol(
            "morpho_blue", dict.fromkeys(emitters.MORPHO_BLUE, date(2024, 1, 1)), emitters.MORPHO_BLUE,
            (lending.MORPHO_LIQUIDATE, lending.MORPHO_CREATE_MARKET), lending.morpho, bad_debt=bad_debt.MORPHO,
        ),
    ),
    "maker": (
        Protocol(
            "maker", {"ethereum": date(2019, 11, 1)}, emitters.MAKER,
            (lending.MAKER_BITE, lending.MAKER_BARK), lending.MAKER,
        ),
    ),
    "liquity": (
        Protocol(
            "liquity_v1", {"ethereum": date(2021, 4, 1)}, emitters.LIQUITY_V1,
            (lending.LIQUITY_TROVE_LIQUIDATED,), lending.LIQUITY_V1,
        ),
        Protocol(
            "liquity_v2", {"ethereum": date(2025, 1, 1)}, emitters.LIQUITY_V2,
            (lending.LIQUITY_V2_LIQUIDATION,), lending.LIQUITY_V2,
        ),
    ),
    "euler": (
        Protocol(
            "euler_v2", dict.fromkeys(emitters.EULER_V2, date(2024, 8, 1)), emitters.EULER_V2,
            (lending.EULER_LIQUIDATE, lending.EULER_PROXY_CREATED), lending.euler, lending.EULER_PROXY_CREATED,
            bad_debt.EULER,
        ),
    ),
    "fluid": (
        Protocol(
            "fluid", {"ethereum": date(2024, 1, 1), "arbitrum": date(2024, 6, 1), "base": date(2024, 6, 1)}, emitters.FLUID,
            fluid.EVENTS, fluid.fluid, fluid.VAULT_DEPLOYED,
        ),
    ),
}  # fmt: skip
"""Families of protocols that are fetched together, by the name of their feed."""

DESCRIPTIONS: Final = {
    "aave": "LiquidationCall of Aave v1, v2, v3 and Spark: collateral seized and debt repaid, raw; DeficitCreated of v3.",
    "compound_v2": "LiquidateBorrow of Compound v2 and its kin: debt repaid; collateral in cTokens, which marts value by the debt.",
    "comet": "AbsorbCollateral of Compound v3 in dollars of the event, AbsorbDebt on the last collateral of its account; "
    "debt absorbed without collateral is bad debt.",
    "morpho": "Liquidate of Morpho Blue, its markets' tokens from CreateMarket; its bad debt apart.",
    "maker": "Bite and Bark of Maker: collateral and debt sent to auction; the auction's sales are not added.",
    "liquity": "TroveLiquidated of Liquity v1; Liquidation of Liquity v2, summed over the troves of a call.",
    "euler": "Liquidate of the vaults of Euler v2: debt repaid; collateral in shares of a vault, which have no price; "
    "DebtSocialized is bad debt.",
    "fluid": "LogLiquidate of Fluid's vaults, summed over the positions of a call; tokens from LogOperate of the liquidity "
    "under them, and shares of pools without a price.",
}


def log_source(api: Api, chain: Chain) -> LogSource:
    """Nodes where any are named, else the portal."""
    return NodeLogs(api, confirmations=chain.confirmations) if nodes_of(api.endpoints) else PortalLogs(api)


def check(page: Page) -> None:
    """A node may ask to wait in an answer of status 200. The portal says everything by its status."""
    if page.request["endpoint"] != PORTAL:
        check_node(page)


def chain_venue(chain: Chain) -> Venue:
    """The venue evm_<chain> with the families that are deployed there."""
    return Venue(
        name=f"evm_{chain.name}",
        endpoints={PORTAL: f"https://portal.sqd.dev/datasets/{chain.dataset}"},
        limits=(
            # Published as 20 in 10 seconds; chains fetched at the same time share it, and a 429 is waited for.
            Limit(20, 10, PORTAL_REQUESTS, share=1.0),
            # Nodes publish what they like; a request that is one too many is answered 429 and waited for.
            Limit(50, 1, NODE_REQUESTS),
        ),
        feeds=(
            *(_feed(chain, family) for family in FAMILIES if deployed(family, chain)),
            *gmx_feeds(chain.name, finality=chain.finality, source=partial(log_source, chain=chain)),
        ),
        check=check,
        concurrency=2,
        notes=(
            f"Event logs of {chain.name}: finalised blocks from SQD's portal, hours behind; or from nodes, where the settings "
            f"name some under `evm_{chain.name}.rpc`, `evm_{chain.name}.rpc_2`, … (two or more check one another)."
        ),
    )


def deployed(family: str, chain: Chain) -> tuple[Protocol, ...]:
    """The protocols of a family that are on a chain."""
    return tuple(protocol for protocol in FAMILIES[family] if chain.name in protocol.emitters)


def _feed(chain: Chain, family: str) -> Feed:
    protocols = deployed(family, chain)
    since = min(protocol.since[chain.name] for protocol in protocols)
    return Feed(
        name=family,
        tables=(TABLE, bad_debt.TABLE) if any(protocol.bad_debt for protocol in protocols) else (TABLE,),
        description=DESCRIPTIONS[family],
        fetch=partial(_FETCHES.get(family, _fetch), chain=chain, protocols=protocols),
        parse=partial(_parse, chain=chain, protocols=protocols),
        since=since,
        published_after=timedelta(hours=6),
        recheck_days=1,
        by_month=True,
        rules=partial(_rules, chain=chain, protocols=protocols),
    )


async def _fetch(api: Api, job: Job, *, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """All events of the family in one filter: an emitter emits only its own."""
    source = log_source(api, chain)
    blocks = await source.blocks(job.span)
    listed = sorted({address for protocol in protocols for address in protocol.emitters[chain.name]})
    topics = sorted({topic for protocol in protocols for topic in protocol.topics})
    async for page in source.logs(blocks, LogFilter(tuple(listed), tuple(topics))):
        yield page


async def _fetch_morpho(api: Api, job: Job, *, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """The liquidations, then the creations of the markets they happened in, which may be years older."""
    [protocol] = protocols
    listed = tuple(protocol.emitters[chain.name])
    source = log_source(api, chain)
    blocks = await source.blocks(job.span)
    pages = [page async for page in source.logs(blocks, LogFilter(listed, (lending.MORPHO_LIQUIDATE.topic0,)))]
    for page in pages:
        yield page
    markets = sorted(set(read_logs(pages)["topics"].str.slice(67, 66)))
    if not markets:
        return
    opened = datetime.combine(protocol.since[chain.name], time())
    life = await source.blocks(Span(opened, job.span.end))
    for start in range(0, len(markets), MARKETS_AT_ONCE):
        asked = tuple(markets[start : start + MARKETS_AT_ONCE])
        async for page in source.logs(life, LogFilter(listed, (lending.MORPHO_CREATE_MARKET.topic0,), asked)):
            yield page


async def _fetch_euler(api: Api, job: Job, *, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """All vaults there have ever been, then the liquidations in them."""
    [protocol] = protocols
    source = log_source(api, chain)
    blocks = await source.blocks(job.span)
    life = await source.blocks(Span(datetime.combine(protocol.since[chain.name], time()), job.span.end))
    factories = LogFilter(tuple(protocol.emitters[chain.name]), (lending.EULER_PROXY_CREATED.topic0,))
    created = [page async for page in source.logs(life, factories)]
    for page in created:
        yield page
    vaults = sorted(set(_announced(read_logs(created))))
    for start in range(0, len(vaults), VAULTS_AT_ONCE):
        listed = tuple(vaults[start : start + VAULTS_AT_ONCE])
        wanted = (lending.EULER_LIQUIDATE.topic0, bad_debt.DEBT_SOCIALIZED.topic0)
        async for page in source.logs(blocks, LogFilter(listed, wanted)):
            yield page


def _announced(logs: pl.DataFrame) -> pl.Series:
    """The address in the first indexed word of each log."""
    return logs.select(pl.format("0x{}", pl.col("topics").str.slice(93, 40).str.to_lowercase())).to_series()


async def _fetch_fluid(api: Api, job: Job, *, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """All vaults there have ever been, the liquidations in them, and what the liquidated vaults moved on the same days."""
    [protocol] = protocols
    listed = tuple(protocol.emitters[chain.name])
    source = log_source(api, chain)
    blocks = await source.blocks(job.span)
    life = await source.blocks(Span(datetime.combine(protocol.since[chain.name], time()), job.span.end))
    created = [page async for page in source.logs(life, LogFilter(listed, (fluid.VAULT_DEPLOYED.topic0,)))]
    for page in created:
        yield page
    vaults = sorted(set(_announced(read_logs(created))))
    liquidated: set[str] = set()
    for start in range(0, len(vaults), VAULTS_AT_ONCE):
        theirs = LogFilter(tuple(vaults[start : start + VAULTS_AT_ONCE]), (fluid.LOG_LIQUIDATE.topic0,))
        pages = [page async for page in source.logs(blocks, theirs)]
        for page in pages:
            yield page
        liquidated |= set(read_logs(pages)["address"].str.to_lowercase())
    users = ["0x" + vault[2:].zfill(64) for vault in sorted(liquidated)]
    for start in range(0, len(users), MARKETS_AT_ONCE):
        asked = LogFilter(listed, (fluid.LOG_OPERATE.topic0,), tuple(users[start : start + MARKETS_AT_ONCE]))
        async for page in source.logs(blocks, asked):
            yield page


_FETCHES: Final = {"morpho": _fetch_morpho, "euler": _fetch_euler, "fluid": _fetch_fluid}


def _parse(pages: Sequence[Page], context: Context, *, chain: Chain, protocols: Sequence[Protocol]) -> Iterator[Parsed]:
    """Logs to liquidations. What an unlisted contract emitted is turned away: anyone can emit anything."""
    listed = pl.DataFrame(
        [
            (address, protocol.name, token or None)
            for protocol in protocols
            for address, token in protocol.emitters[chain.name].items()
        ],
        schema={"address": pl.String, "protocol": pl.String, "emitter_token": pl.String},
        orient="row",
    )
    read = read_logs(pages).with_columns(pl.col("address").str.to_lowercase())
    for protocol in protocols:
        if protocol.announces is not None:
            told = pl.col("topics").str.to_lowercase().str.starts_with(protocol.announces.topic0)
            listed_here = pl.col("address").is_in(list(protocol.emitters[chain.name]))
            further = pl.DataFrame({"address": _announced(read.filter(told, listed_here)).unique()})
            listed = pl.concat([listed, further.with_columns(protocol=pl.lit(protocol.name))], how="diagonal")
    logs = read.join(listed, on="address", how="left", maintain_order="left")
    strangers = logs.filter(pl.col("protocol").is_null())
    unlisted = rejected(
        strangers,
        reason="undecodable",
        detail="the emitter is not on the list",
        stamp="occurred_at",
        instrument="address",
    )
    told_apart = [
        (protocol, *_apart(logs.filter(protocol=protocol.name).drop("protocol"), protocol)) for protocol in protocols
    ]
    made = [
        lending.lending_rows(mine, protocol.name, chain.name, protocol.events, protocol.rows, finality=chain.finality)
        for protocol, mine, _ in told_apart
    ]
    yield Parsed(
        TABLE,
        pl.concat([rows for rows, _ in made]),
        pl.concat([no_rejects(), unlisted, *(rejects for _, rejects in made)]),
    )
    lost = [
        bad_debt.bad_debt_rows(theirs, protocol.name, chain.name, protocol.bad_debt, finality=chain.finality)
        for protocol, _, theirs in told_apart
        if protocol.bad_debt is not None
    ]
    if lost:
        yield Parsed(
            bad_debt.TABLE,
            pl.concat([rows for rows, _ in lost]),
            pl.concat([no_rejects(), *(rejects for _, rejects in lost)]),
        )


def _apart(logs: pl.DataFrame, protocol: Protocol) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The logs of one protocol that are about liquidations, and those that are about bad debt; some are about both."""
    if protocol.bad_debt is None:
        return logs, logs.clear()
    topic0 = pl.col("topics").str.slice(0, 66).str.to_lowercase()
    own = topic0.is_in([event.topic0 for event in protocol.bad_debt.own])
    about = topic0.is_in([event.topic0 for event in protocol.bad_debt.events])
    return logs.filter(~own), logs.filter(about)


def _rules(spans: Sequence[Span], *, chain: Chain, protocols: Sequence[Protocol]) -> SourceRules:
    """A protocol has coverage from its first day: no event on a landed day means that nothing was liquidated, or lost."""
    begins = [(TABLE, protocol.name, protocol.since[chain.name]) for protocol in protocols] + [
        (bad_debt.TABLE, protocol.name, protocol.bad_debt.since.get(chain.name, protocol.since[chain.name]))
        for protocol in protocols
        if protocol.bad_debt is not None
    ]
    return SourceRules(
        spans=tuple(
            CoverageSpan(table, name, max(first, since), last, series=chain.name)
            for table, name, since in begins
            for first, last in runs_of_days(spans)
            if last >= since
        )
    )


ETHEREUM, ARBITRUM, OPTIMISM, BASE, POLYGON, AVALANCHE, BNB = (chain_venue(chain) for chain in CHAINS)
