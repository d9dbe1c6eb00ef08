"""What all families of lending protocols share: how a protocol is declared, and its logs fetched, decoded and made into rows.

A family is one module (aave.py, compound.py, …) with its event signatures, row functions, first dates and declarations; its
addresses are in contracts.py. Amounts stay raw: dbt applies decimals and prices from the token registry.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Final, TypeVar

import polars as pl

from pipelines.contract.batch import CoverageSpan, SourceRules, no_rejects
from pipelines.extract.venue import Page, Parsed, Span
from pipelines.sources.chain.evm.abi import TOPIC0, TOPICS, EventSpec, decode_logs, has_topic0_of, is_event
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.contracts import Contract, Contracts, Registries, Units, contracts_of
from pipelines.sources.chain.evm.logs import LogFilter, LogSource, read_logs
from pipelines.sources.instruments import runs_of_days
from pipelines.sources.records import LINE, rejected

LIQUIDATIONS: Final = "lending_liquidations"
BAD_DEBT: Final = "lending_bad_debt"
"""Debt without collateral left to cover it: a loss of the lenders and not a liquidation, so it has a table of its own."""

LIQUIDATION_COLUMNS: Final[dict[str, pl.DataType]] = {
    "borrower": pl.String(),
    "liquidator": pl.String(),
    "collateral_token": pl.String(),
    "collateral_amount_raw": pl.String(),
    "collateral_amount": pl.Float64(),
    "collateral_usd": pl.Float64(),
    "collateral_value": pl.Float64(),
    "debt_token": pl.String(),
    "debt_amount_raw": pl.String(),
    "debt_usd": pl.Float64(),
    "debt_value": pl.Float64(),
    "value_unit": pl.String(),
}
BAD_DEBT_COLUMNS: Final[dict[str, pl.DataType]] = {
    "event": pl.String(),
    "borrower": pl.String(),
    "debt_token": pl.String(),
    "debt_amount_raw": pl.String(),
    "debt_usd": pl.Float64(),
    "debt_value": pl.Float64(),
    "value_unit": pl.String(),
}
"""Columns that a family's row functions fill, with POSITION beside them; the other columns follow from the log."""

POSITION: Final = ("address", "tx_hash", "log_index", "block_number", "occurred_at", LINE)

MAX_TOPICS: Final = 100
MAX_CONTRACTS: Final = 500
"""Topics, and contracts, in one log filter."""

Decoded = Mapping[str, pl.DataFrame]
"""Logs of a protocol by event name: POSITION, the event's parameters as text columns, `contract_token`, the token of the
contract if known, and `contract_unit`, what it states values in if that is not the dollar."""

Rows = Callable[[Decoded], pl.DataFrame]
"""One row per event of a table: POSITION and some of its columns; `fault` is why a log makes no row, else null."""


@dataclass(frozen=True)
class Landed:
    """A landed span, and the lists of contracts that were asked for in it."""

    span: Span
    lists: frozenset[str]


FetchEvents = Callable[[LogSource, Span, Chain, Sequence["Protocol"]], AsyncIterator[Page]]
"""Fetches the logs of some protocols on one chain in a span."""

T = TypeVar("T")


@dataclass(frozen=True)
class BadDebt:
    """How a protocol reports bad debt. `rows` needs the `exclusive` events, which report nothing else, and the
    `shared` ones, which also report liquidations. `since` is the first month by chain, where that is later than the protocol's."""

    rows: Rows
    exclusive: tuple[EventSpec, ...] = ()
    shared: tuple[EventSpec, ...] = ()
    since: Mapping[str, date] = field(default_factory=dict)

    @property
    def events(self) -> tuple[EventSpec, ...]:
        return (*self.exclusive, *self.shared)


@dataclass(frozen=True)
class Registry:
    """How a protocol announces contracts. `events` map to the parameter that holds the address of the new contract. `contracts`
    emit them; if `by_itself`, the protocol's own contracts do."""

    events: Mapping[EventSpec, str]
    contracts: Registries = field(default_factory=dict)
    by_itself: bool = False


@dataclass(frozen=True)
class Protocol:
    """A lending protocol on all its chains: `rows` makes liquidations of the `events` of its `contracts`.

    `since` is the day of the first deployment by chain. `listed` are the months of listing by contract, of those that were not on
    the first list, with the day of the first deployment among them by chain.
    """

    name: str
    since: Mapping[str, date]
    contracts: Contracts
    events: tuple[EventSpec, ...]
    rows: Rows
    registry: Registry | None = None
    bad_debt: BadDebt | None = None
    units: Units = field(default_factory=dict)
    listed: Mapping[tuple[str, str], Contract] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chains = {*self.contracts, *(self.registry.contracts if self.registry else ())}
        if chains != set(self.since):
            raise ValueError(f"{self.name}: chains with contracts {sorted(chains)}, with dates {sorted(self.since)}")

    @classmethod
    def declared(
        cls,
        name: str,
        *,
        events: tuple[EventSpec, ...],
        rows: Rows,
        registry: Mapping[EventSpec, str] | None = None,
        bad_debt: BadDebt | None = None,
        units: Units | None = None,
        by_itself: bool = False,
    ) -> Protocol:
        """The protocol with its contracts from the seed chain_contracts. `registry` are the events of those that announce
        others. These are contracts of the protocol too if `by_itself`, or if the tokens of its markets are all in events: what
        they announce is then a fact of its rows."""
        deployed = contracts_of(name)
        by_itself = by_itself or all(one.announces or not one.token for ones in deployed.values() for one in ones)
        emitting = {
            chain: {one.address: one.token for one in ones if by_itself or not one.announces}
            for chain, ones in deployed.items()
        }
        announcing = {
            chain: tuple(one.address for one in ones if one.announces)
            for chain, ones in deployed.items()
            if any(one.announces for one in ones)
        }
        return cls(
            name,
            since={chain: min(one.since for one in ones) for chain, ones in deployed.items()},
            contracts={chain: listed for chain, listed in emitting.items() if listed},
            events=events,
            rows=rows,
            registry=Registry(registry, {} if by_itself else announcing, by_itself=by_itself) if registry else None,
            bad_debt=bad_debt,
            units=units or {},
            listed={(chain, one.address): one for chain, ones in deployed.items() for one in ones if one.listed},
        )

    def tokens(self, chain: str) -> Mapping[str, str]:
        """The listed contracts on a chain, each with its token; announced ones are not among them."""
        return self.contracts.get(chain, {})

    def registries(self, chain: str) -> tuple[str, ...]:
        """Contracts on a chain that are trusted to announce further ones."""
        if self.registry is None:
            return ()
        return tuple(self.tokens(chain)) if self.registry.by_itself else self.registry.contracts.get(chain, ())

    def lists(self, chain: str) -> Mapping[str, date]:
        """The lists that have contracts of a chain, "" the first, each with the first day of deployment among them."""
        found: dict[str, date] = {}
        for address in {*self.tokens(chain), *self.registries(chain)}:
            later = self.listed.get((chain, address))
            month, since = (later.listed, later.since) if later else ("", self.since[chain])
            found[month] = min(found.get(month, since), since)
        return found

    def of_list(self, chain: str, month: str) -> Protocol | None:
        """The protocol on one chain with the contracts of one list; None if it has none."""

        def belongs(address: str) -> bool:
            later = self.listed.get((chain, address))
            return (later.listed if later else "") == month

        contracts = {address: token for address, token in self.tokens(chain).items() if belongs(address)}
        registries = tuple(address for address in self.registries(chain) if belongs(address))
        if not contracts and not registries:
            return None
        registry = self.registry
        if registry is not None:
            own = {} if registry.by_itself or not registries else {chain: registries}
            registry = replace(registry, contracts=own) if registries else None
        since = {chain: self.since[chain]}
        return replace(self, since=since, contracts={chain: contracts} if contracts else {}, registry=registry)

    @property
    def registry_events(self) -> Mapping[EventSpec, str]:
        return self.registry.events if self.registry else {}

    @property
    def topics(self) -> tuple[str, ...]:
        """First topics of all events that are requested."""
        return tuple(sorted({event.topic0 for event in (*self.events, *self.bad_debt_events)}))

    @property
    def bad_debt_events(self) -> tuple[EventSpec, ...]:
        """Events that report bad debt and nothing else."""
        return self.bad_debt.exclusive if self.bad_debt else ()

    def life(self, chain: str, span: Span) -> Span:
        """From the protocol's first day on a chain to the end of `span`."""
        return Span(datetime.combine(self.since[chain], time()), span.end)


async def fetch_listed(
    source: LogSource, span: Span, chain: Chain, protocols: Sequence[Protocol]
) -> AsyncIterator[Page]:
    """All events of the listed contracts with one filter: a contract emits only the events of its own protocol."""
    listed = sorted({address for protocol in protocols for address in protocol.tokens(chain.name)})
    if not listed:
        return
    blocks = await source.blocks(span)
    topics = sorted({topic for protocol in protocols for topic in protocol.topics})
    async for page in source.logs(blocks, LogFilter(tuple(listed), tuple(topics))):
        yield page


async def fetch_announced(
    source: LogSource, span: Span, chain: Chain, protocols: Sequence[Protocol]
) -> AsyncIterator[Page]:
    """All announcements since the protocols began, then the events of `span` of the listed and the announced contracts."""
    blocks = await source.blocks(span)
    contracts = {address for protocol in protocols for address in protocol.tokens(chain.name)}
    for protocol in protocols:
        if protocol.registry is None:
            continue
        life = await source.blocks(protocol.life(chain.name, span))
        topics = tuple(sorted({event.topic0 for event in protocol.registry.events}))
        pages = [page async for page in source.logs(life, LogFilter(protocol.registries(chain.name), topics))]
        for page in pages:
            yield page
        contracts |= set(announced(read_logs(pages), protocol.registry.events))
    topics = tuple(
        sorted({t for p in protocols for t in p.topics} - {e.topic0 for p in protocols for e in p.registry_events})
    )
    for part in batches(sorted(contracts), MAX_CONTRACTS):
        async for page in source.logs(blocks, LogFilter(part, topics)):
            yield page


@dataclass(frozen=True)
class Family:
    """Protocols that one feed fetches. `name` is the name of the feed."""

    name: str
    description: str
    protocols: tuple[Protocol, ...]
    fetch: FetchEvents = fetch_listed

    def on(self, chain: Chain) -> tuple[Protocol, ...]:
        """The protocols deployed on a chain."""
        return tuple(protocol for protocol in self.protocols if chain.name in protocol.since)


def batches(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """`items` in order, at most `size` at once."""
    return (tuple(items[start : start + size]) for start in range(0, len(items), size))


def announced(logs: pl.DataFrame, events: Mapping[EventSpec, str]) -> pl.Series:
    """Addresses that `events` announce in `logs`, in lower case. `events` map to the parameter with the address."""
    found = [pl.Series("address", [], dtype=pl.String)]
    for event, parameter in events.items():
        word = next(word for word in event.words if word.name == parameter)
        if word.indexed:
            # A topic is 66 characters and a blank; the address is its last 40 characters.
            address = pl.col("topics").str.slice(67 * (1 + event.indexed.index(word)) + 26, 40)
        else:
            # A word of `data` is 64 characters; the address is its last 40.
            address = pl.col("data").str.slice(2 + 64 * event.data.index(word) + 24, 40)
        matching = logs.filter(is_event((event,)))
        found.append(matching.select(pl.format("0x{}", address.str.to_lowercase()).alias("address")).to_series())
    return pl.concat(found)


def parse_events(pages: Sequence[Page], chain: Chain, protocols: Sequence[Protocol]) -> Iterator[Parsed]:
    """Liquidations, and bad debt where a protocol reports it.

    Logs of a contract that is neither listed nor announced by a trusted registry are rejected: any contract can emit any event.
    """
    logs = _by_protocol(read_logs(pages), chain.name, protocols)
    unlisted = rejected(
        logs.filter(pl.col("protocol").is_null()),
        reason="undecodable",
        detail="the contract is not on the list",
        stamp="occurred_at",
        instrument="address",
    )
    liquidations, bad_debt = [], []
    for protocol in protocols:
        matching = logs.filter(protocol=protocol.name).drop("protocol")
        liquidations.append(_liquidations(matching, protocol, chain))
        if protocol.bad_debt is not None:
            bad_debt.append(_bad_debt(matching, protocol.name, protocol.bad_debt, chain))
    yield _parsed(LIQUIDATIONS, liquidations, unlisted)
    if bad_debt:
        yield _parsed(BAD_DEBT, bad_debt, no_rejects())


def _parsed(table: str, made: Sequence[tuple[pl.DataFrame, pl.DataFrame]], rejects: pl.DataFrame) -> Parsed:
    return Parsed(
        table,
        pl.concat([rows for rows, _ in made]),
        pl.concat([no_rejects(), rejects, *(one for _, one in made)]),
    )


def _by_protocol(logs: pl.DataFrame, chain: str, protocols: Sequence[Protocol]) -> pl.DataFrame:
    """`logs` with `protocol`, null if the contract belongs to none, and `contract_token`; without announcements of registries."""
    logs = logs.with_columns(pl.col("address").str.to_lowercase())
    contracts = pl.DataFrame(
        [
            (address, protocol.name, token or None, protocol.units.get(address))
            for protocol in protocols
            for address, token in protocol.tokens(chain).items()
        ],
        schema=dict.fromkeys(("address", "protocol", "contract_token", "contract_unit"), pl.String),
        orient="row",
    )
    for protocol in protocols:
        trusted = logs.filter(pl.col("address").is_in(list(protocol.registries(chain))))
        new = pl.DataFrame({"address": announced(trusted, protocol.registry_events)}).unique()
        new = new.join(contracts, on="address", how="anti").with_columns(protocol=pl.lit(protocol.name))
        contracts = pl.concat([contracts, new], how="diagonal")
        # A registry that is no contract of the protocol itself has nothing else to report.
        separate = [address for address in protocol.registries(chain) if address not in protocol.tokens(chain)]
        logs = logs.filter(~(pl.col("address").is_in(separate) & is_event(tuple(protocol.registry_events))))
    return logs.join(contracts, on="address", how="left", maintain_order="left")


def _liquidations(logs: pl.DataFrame, protocol: Protocol, chain: Chain) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of clean.lending_liquidations and rejects. Every log that does not report only bad debt becomes a row, part of one, a
    fact about a market, or a reject."""
    logs = logs.filter(~has_topic0_of(protocol.bad_debt_events))
    decoded, faults = _decode(logs, protocol.name, protocol.events)
    has_value = pl.any_horizontal(pl.col("collateral_usd", "debt_usd", "collateral_value", "debt_value").is_not_null())
    rows, faulty = _clean_rows(protocol.rows(decoded), LIQUIDATION_COLUMNS, protocol.name, chain, has_value=has_value)
    return rows, _rejects(logs, [*faults, faulty])


def _bad_debt(logs: pl.DataFrame, protocol: str, bad_debt: BadDebt, chain: Chain) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of clean.lending_bad_debt and rejects. A malformed log of a shared event is rejected with the liquidations only."""
    logs = logs.filter(has_topic0_of(bad_debt.events))
    decoded, faults = _decode(logs, protocol, bad_debt.events)
    has_value = pl.any_horizontal(pl.col("debt_usd", "debt_value").is_not_null())
    rows, faulty = _clean_rows(bad_debt.rows(decoded), BAD_DEBT_COLUMNS, protocol, chain, has_value=has_value)
    return rows, _rejects(logs.filter(has_topic0_of(bad_debt.exclusive)), [*faults, faulty])


def _decode(
    logs: pl.DataFrame, protocol: str, events: Sequence[EventSpec]
) -> tuple[dict[str, pl.DataFrame], list[pl.DataFrame]]:
    """The decoded logs by event name, and LINE and `fault` of those that match no event or do not follow the ABI."""
    decoded: dict[str, pl.DataFrame] = {}
    faults: list[pl.DataFrame] = []
    for event in events:
        frame = decode_logs(logs.filter(is_event((event,))), event)
        faults.append(frame.select(LINE, pl.col("undecodable").alias("fault")))
        decoded[event.name] = (
            frame.filter(pl.col("undecodable").is_null())
            .drop("undecodable")
            .with_columns(pl.col("log_index", "block_number").cast(pl.Int64))
        )
    stray = pl.format("{} topics from {} are no event of " + protocol, TOPICS, TOPIC0)
    faults.append(logs.filter(~is_event(events)).select(LINE, stray.alias("fault")))
    return decoded, faults


def _rejects(logs: pl.DataFrame, faults: Sequence[pl.DataFrame]) -> pl.DataFrame:
    faulty = logs.join(pl.concat(faults).drop_nulls("fault"), on=LINE, maintain_order="left")
    return rejected(faulty, reason="undecodable", detail=pl.col("fault"), stamp="occurred_at", instrument="address")


def _clean_rows(
    made: pl.DataFrame, columns: Mapping[str, pl.DataType], protocol: str, chain: Chain, *, has_value: pl.Expr
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What a Rows function made as rows of a clean table, and LINE and `fault` of all of it.

    `columns` that the function did not make are null. `has_value` is whether the event itself states a value.
    """
    missing = {name: kind for name, kind in {**columns, "fault": pl.String()}.items() if name not in made.columns}
    made = made.with_columns(*(pl.lit(None, kind).alias(name) for name, kind in missing.items()))
    rows = made.filter(pl.col("fault").is_null()).select(
        pl.lit(chain.name).alias("chain"),
        pl.format("{}:{}", "tx_hash", "log_index").alias("event_id"),
        "tx_hash",
        "log_index",
        pl.lit(protocol).alias("protocol"),
        pl.col("address").alias("market"),
        "block_number",
        "occurred_at",
        *(pl.col(name).cast(kind) for name, kind in columns.items()),
        # A value in an event is the protocol's own valuation in that block.
        pl.when(has_value).then(pl.lit("event")).alias("price_source"),
        pl.when(has_value).then(pl.lit(0, pl.Int64)).alias("price_gap_seconds"),
        pl.lit("full").alias("completeness"),
        (pl.col("occurred_at") + chain.finality).alias("available_at"),
        LINE,
    )
    return rows, made.select(LINE, "fault")


def fields(**columns: str | pl.Expr) -> Rows:
    """Rows for events that make one row each: every column is an event parameter, by name, or an expression over them."""

    def rows(decoded: Decoded) -> pl.DataFrame:
        return pl.concat([frame.select(*POSITION, **columns) for frame in decoded.values()])

    return rows


def scaled(column: str, decimals: int) -> pl.Expr:
    """Decimal text divided by 10^decimals."""
    return pl.col(column).cast(pl.Float64) / 10.0**decimals


def stated(**values: pl.Expr) -> tuple[pl.Expr, ...]:
    """Values that an event states in its contract's unit of account, by leg: columns <leg>_usd if the unit is the dollar, else
    <leg>_value and value_unit."""
    in_dollars = pl.col("contract_unit").is_null()
    known = pl.any_horizontal(value.is_not_null() for value in values.values())
    return (
        *(pl.when(in_dollars).then(value).alias(f"{leg}_usd") for leg, value in values.items()),
        *(pl.when(~in_dollars).then(value).alias(f"{leg}_value") for leg, value in values.items()),
        pl.when(known).then("contract_unit").alias("value_unit"),
    )


def coverage_rules(landed: Sequence[Landed], chain: Chain, protocols: Sequence[Protocol]) -> SourceRules:
    """A protocol is covered from its first day: no row on a landed day means no liquidation, or no bad debt.

    A landing covers a protocol only until a contract was deployed that is on a list which was not asked for: a later fetch adds it.
    """
    begins = [(LIQUIDATIONS, protocol, protocol.since[chain.name]) for protocol in protocols] + [
        (BAD_DEBT, protocol, max(protocol.bad_debt.since.get(chain.name, date.min), protocol.since[chain.name]))
        for protocol in protocols
        if protocol.bad_debt is not None
    ]
    found = []
    for table, protocol, since in begins:
        lists = protocol.lists(chain.name)
        heard = []
        for one in landed:
            lacking = min((first for month, first in lists.items() if month not in one.lists), default=date.max)
            if one.span.end.date() > lacking:
                one = replace(one, span=Span(one.span.start, datetime.combine(lacking, time())))
            if one.span.start < one.span.end:
                heard.append(one.span)
        found += [
            CoverageSpan(table, protocol.name, max(first, since), last, series=chain.name)
            for first, last in runs_of_days(heard)
            if last >= since
        ]
    return SourceRules(spans=tuple(found))
