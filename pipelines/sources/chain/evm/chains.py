"""EVM chains as venues, one each, with a feed per family of lending protocols and those of GMX: liquidations from logs.

The portal is asked without a key. Where the settings name nodes (endpoints evm_<chain>.rpc, evm_<chain>.rpc_2, …), those
are asked instead. Events and rows stand in evm_lending, contracts in evm_emitters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Final
from typing import Protocol as Callback

import polars as pl

from pipelines.contract.batch import CoverageSpan, SourceRules, no_rejects
from pipelines.extract.logs import NODE_REQUESTS, PORTAL, PORTAL_REQUESTS, LogFilter, LogSource, PortalLogs
from pipelines.extract.logs_node import NodeLogs, check_node, nodes_of
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Context, Daily, Feed, Job, Page, Parsed, Partitioning, Retention, Span, Venue
from pipelines.sources.chain.evm import bad_debt, fluid, lending, tokens
from pipelines.sources.chain.evm import contracts as emitters
from pipelines.sources.chain.evm import registries as markets
from pipelines.sources.chain.evm.abi import AAVE_LIQUIDATION_CALL, EventSpec, is_event, names_event
from pipelines.sources.chain.evm.gmx import gmx_feeds
from pipelines.sources.chain.evm.logs import read_logs
from pipelines.sources.instruments import runs_of_days
from pipelines.sources.records import rejected

TABLE: Final = "lending_liquidations"
MARKETS_AT_ONCE: Final = 100
EMITTERS_AT_ONCE: Final = 500


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

    `announces` are the events by which `registries` (by chain; where there are none, the listed emitters) tell of further
    emitters, in the word that evm_markets.ANNOUNCED names. `bad_debt` is how
    it tells of debt that no collateral was left for; None where no event does.
    """

    name: str
    since: Mapping[str, date]
    emitters: emitters.Emitters
    events: tuple[EventSpec, ...]
    rows: lending.Rows
    announces: tuple[EventSpec, ...] = ()
    registries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bad_debt: bad_debt.BadDebt | None = None

    def announcers(self, chain: str) -> tuple[str, ...]:
        """Who is believed about further emitters."""
        return (self.registries.get(chain) or tuple(self.emitters[chain])) if self.announces else ()

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
_VENUS_ISOLATED_SINCE: Final = {
    "bnb": date(2023, 6, 1), "ethereum": date(2023, 12, 1), "arbitrum": date(2024, 5, 1), "optimism": date(2024, 8, 1),
    "base": date(2024, 11, 1),
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
            name, since, listed, (lending.LIQUIDATE_BORROW, lending.LIQUIDATE_BORROW_INDEXED), lending.COMPOUND_V2,
            announces, markets.REGISTRIES.get(name, {}), lost,
        )
        for name, since, listed, announces, lost in (
            # Its markets are all on the list: none was opened since 2021.
            ("compound_v2", {"ethereum": date(2019, 5, 1)}, emitters.COMPOUND_V2, (), None),
            ("benqi", {"avalanche": date(2021, 8, 1)}, emitters.BENQI, markets.COMPTROLLER, None),
            ("venus", {"bnb": date(2020, 11, 1)}, emitters.VENUS, markets.COMPTROLLER, None),
            (
                "venus_isolated", _VENUS_ISOLATED_SINCE, {key: {} for key in _VENUS_ISOLATED_SINCE},
                markets.VENUS_ISOLATED, bad_debt.VENUS_ISOLATED,
            ),
            (
                "moonwell", {"base": date(2023, 8, 1), "optimism": date(2024, 6, 1)},
                {"optimism": {}, **emitters.MOONWELL}, markets.COMPTROLLER, None,
            ),
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
            (lending.EULER_LIQUIDATE, lending.EULER_PROXY_CREATED), lending.euler, (lending.EULER_PROXY_CREATED,),
            bad_debt=bad_debt.EULER,
        ),
    ),
    "fluid": (
        Protocol(
            "fluid", {"ethereum": date(2024, 1, 1), "arbitrum": date(2024, 6, 1), "base": date(2024, 6, 1)}, emitters.FLUID,
            fluid.EVENTS, fluid.fluid, (fluid.VAULT_DEPLOYED,),
        ),
    ),
}  # fmt: skip
"""Families of protocols that are fetched together, by the name of their feed."""

DESCRIPTIONS: Final = {
    "aave": "LiquidationCall of Aave v1, v2, v3 and Spark: collateral seized and debt repaid, raw; DeficitCreated of v3.",
    "compound_v2": "LiquidateBorrow of Compound v2 and its kin, in every market their comptrollers announced: debt repaid; "
    "collateral in cTokens, which marts value by the debt. BadDebtIncreased of Venus' isolated pools.",
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


class EventFetch(Callback):
    """A fetch of a family's events on one chain."""

    def __call__(self, api: Api, job: Job, *, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]: ...


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
            f"Event logs of {chain.name}: finalized blocks from SQD's portal, hours behind; or from nodes, where the settings "
            f"name some under `evm_{chain.name}.rpc`, `evm_{chain.name}.rpc_2`, … (two or more check one another). A node is "
            "also asked for symbol, decimals and underlying of tokens that the registry does not list. Not read: pools of Venus "
            "beside the core pool outside BNB chain, Moonwell on Moonbeam and Moonriver, the trove manager of Liquity v2 for "
            "rETH, and any market that neither a list nor a listed comptroller, registry or factory names."
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
        tables=(TABLE, *((bad_debt.TABLE,) if any(p.bad_debt for p in protocols) else ()), tokens.TABLE),
        description=DESCRIPTIONS[family],
        fetch=partial(_fetch_and_read, events=_FETCHES.get(family, _fetch), chain=chain, protocols=protocols),
        parse=partial(_parse, chain=chain, protocols=protocols),
        retention=Retention(since=since),
        cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
        partitioning=Partitioning(months="past"),
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


async def _fetch_announced(api: Api, job: Job, *, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """All emitters there have ever been, as those who are believed about them announced them, then the events of the span."""
    source = log_source(api, chain)
    blocks = await source.blocks(job.span)
    listed = {address for protocol in protocols for address in protocol.emitters[chain.name]}
    for protocol in protocols:
        if not protocol.announces:
            continue
        life = await source.blocks(Span(datetime.combine(protocol.since[chain.name], time()), job.span.end))
        topics = tuple(sorted({event.topic0 for event in protocol.announces}))
        told = [p async for p in source.logs(life, LogFilter(protocol.announcers(chain.name), topics))]
        for page in told:
            yield page
        listed |= set(markets.announced(read_logs(told), protocol.announces))
    every = sorted(listed)
    topics = tuple(
        sorted({t for p in protocols for t in p.topics} - {e.topic0 for p in protocols for e in p.announces})
    )
    for start in range(0, len(every), EMITTERS_AT_ONCE):
        async for page in source.logs(blocks, LogFilter(tuple(every[start : start + EMITTERS_AT_ONCE]), topics)):
            yield page


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
    vaults = sorted(set(markets.announced(read_logs(created), protocol.announces)))
    liquidated: set[str] = set()
    for start in range(0, len(vaults), EMITTERS_AT_ONCE):
        theirs = LogFilter(tuple(vaults[start : start + EMITTERS_AT_ONCE]), (fluid.LOG_LIQUIDATE.topic0,))
        pages = [page async for page in source.logs(blocks, theirs)]
        for page in pages:
            yield page
        liquidated |= set(read_logs(pages)["address"].str.to_lowercase())
    users = ["0x" + vault[2:].zfill(64) for vault in sorted(liquidated)]
    for start in range(0, len(users), MARKETS_AT_ONCE):
        asked = LogFilter(listed, (fluid.LOG_OPERATE.topic0,), tuple(users[start : start + MARKETS_AT_ONCE]))
        async for page in source.logs(blocks, asked):
            yield page


_FETCHES: Final = {
    "morpho": _fetch_morpho, "euler": _fetch_announced, "compound_v2": _fetch_announced, "fluid": _fetch_fluid,
}  # fmt: skip


async def _fetch_and_read(
    api: Api, job: Job, *, events: EventFetch, chain: Chain, protocols: Sequence[Protocol]
) -> AsyncIterator[Page]:
    """The events; then, where nodes are named, what the tokens in them say of themselves that the registry does not list."""
    pages: list[Page] = []
    async for page in events(api, job, chain=chain, protocols=protocols):
        pages.append(page)
        yield page
    if nodes_of(api.endpoints) and pages:
        names = tokens.named(chain.name, [one.rows for one in _made(pages, chain=chain, protocols=protocols)])
        node = NodeLogs(api, confirmations=chain.confirmations)
        async for page in node.calls(tokens.calls(names["token"].to_list())):
            yield page


def _parse(pages: Sequence[Page], context: Context, *, chain: Chain, protocols: Sequence[Protocol]) -> Iterator[Parsed]:
    """Logs to liquidations and bad debt, and what tokens say of themselves."""
    made = list(_made(pages, chain=chain, protocols=protocols))
    yield from made
    names = tokens.named(chain.name, [one.rows for one in made])
    yield Parsed(tokens.TABLE, tokens.read_tokens(pages, chain.name, names))


def _made(pages: Sequence[Page], *, chain: Chain, protocols: Sequence[Protocol]) -> Iterator[Parsed]:
    """What an unlisted contract emitted is turned away: anyone can emit anything."""
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
        believed = read.filter(pl.col("address").is_in(list(protocol.announcers(chain.name))))
        further = pl.DataFrame({"address": markets.announced(believed, protocol.announces)}).unique()
        new = further.join(listed, on="address", how="anti").with_columns(protocol=pl.lit(protocol.name))
        listed = pl.concat([listed, new], how="diagonal")
        # Registries that emit nothing else have told what they had to tell.
        told = pl.col("address").is_in(list(protocol.registries.get(chain.name, ()))) & is_event(protocol.announces)
        read = read.filter(~told)
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
    return logs.filter(~names_event(protocol.bad_debt.own)), logs.filter(names_event(protocol.bad_debt.events))


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
