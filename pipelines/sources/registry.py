"""Which module reads the landings of a source: the part of the source id before the first dot is the module's name.

Adding a venue adds one line here. No parsing.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import Captures, ParsedBatch, SourceRules, no_rejects
from pipelines.contract.ddl import Contract
from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.core.universe import choose_universe
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Landing, LandingStore, Parser
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Capture, Context, Feed, Job, Span, Venue
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.files import source as files
from pipelines.sources.instruments import INSTRUMENTS, TURNOVER, InstrumentHistory, event_rules, partial_gaps

VENUES: Final[Mapping[str, str]] = {
    "binance": "pipelines.sources.cex.binance.venue",
    "binance_archive": "pipelines.sources.cex.binance_archive.venue",
    "bitfinex": "pipelines.sources.cex.bitfinex",
    "bybit": "pipelines.sources.cex.bybit.venue",
    "coinalyze": "pipelines.sources.cex.coinalyze",
    "defillama": "pipelines.sources.chain.defillama",
    "deribit": "pipelines.sources.cex.deribit.venue",
    "dydx": "pipelines.sources.dex.dydx",
    **dict.fromkeys(sorted(chain.venue for chain in CHAINS), "pipelines.sources.chain.evm.venue:VENUES"),
    "gate": "pipelines.sources.cex.gate",
    "hyperliquid": "pipelines.sources.dex.hyperliquid.venue",
    "hyperliquid_fills": "pipelines.sources.dex.hyperliquid.fills",
    "kraken": "pipelines.sources.cex.kraken",
    "okx": "pipelines.sources.cex.okx.venue",
    "orderly": "pipelines.sources.dex.orderly",
}
"""Venues by name: the module whose VENUE describes each, or "module:NAME" where one module describes several."""


@dataclass(frozen=True)
class OpenSource:
    """How to parse a source's landings, and how its coverage is judged."""

    parse: Parser
    rules: SourceRules


def venue(name: str) -> Venue:
    """The venue `name`. Raises ConfigError naming those there are."""
    if name not in VENUES:
        raise ConfigError(f"no venue {name!r}; there are {', '.join(VENUES)}.")
    module, _, attribute = VENUES[name].partition(":")
    found: Any = getattr(importlib.import_module(module), attribute or "VENUE")
    one: Venue = found[name] if attribute else found
    return one


def followed_venues(settings: Settings) -> tuple[Venue, ...]:
    """The venues of the settings; where they name none, all that can be asked without a key, or whose key is there.

    Raises ConfigError for an unknown name.
    """
    if settings.venues:
        return tuple(venue(name) for name in settings.venues)
    every = (venue(name) for name in VENUES)
    return tuple(one for one in every if all(os.environ.get(s.variable) for s in one.secrets if s.required))


def followed_assets(store: LandingStore, settings: Settings) -> tuple[str, ...]:
    """Assets of the settings; where they name none, the universe by the rule of universe.choose_universe."""
    if settings.assets:
        return settings.assets
    months: dict[str, dict[str, float]] = {}
    for name in VENUES:
        there = venue(name)
        if there.turnover is None:
            continue
        seen: set[str] = set()
        for landing in store.current(f"{name}.{TURNOVER}"):
            month = landing.partition[:7]
            if month not in seen:
                seen.add(month)
                ranking = months.setdefault(month, {})
                for asset, turnover in there.turnover(list(Pack(landing.path).pages())).items():
                    ranking[asset] = ranking.get(asset, 0.0) + turnover
    return choose_universe(months[month] for month in sorted(months))


def open_source(store: LandingStore, contract: Contract, source: str, landings: Sequence[Landing]) -> OpenSource:
    """Parser and rules of `source`. Raises ConfigError for a source no module here reads."""
    module, _, name = source.partition(".")
    if module == "files":
        return OpenSource(*files.open_landings(store, contract, landings))
    if module not in VENUES:
        raise ConfigError(
            f"no module of pipelines/sources reads {source!r}; landings of a removed source can be moved out of raw/."
        )
    there = venue(module)
    feed = next((feed for feed in there.feeds if feed.name == name), None)
    if feed is None:
        raise ConfigError(f"{module} has no feed {name!r}; landings of a removed feed can be moved out of raw/.")
    # What the venue has not published yet, or what could not be had of some instruments, is no day without events.
    spans = [span_of(landing) for landing in landings if landing.completeness in ("complete", "empty")]
    rules: SourceRules = feed.rules(spans) if feed.rules else event_rules(there, feed, spans)
    if feed.rules_of_subjects:
        held = [
            (span_of(landing), frozenset(name for name, outcome in covers.items() if outcome != "not_yet_published"))
            for landing in landings
            if (covers := landing.request.get("covers", {}))
        ]
        rules = feed.rules_of_subjects(held)
    partial = [span_of(landing) for landing in landings if landing.completeness == "partial"]
    rules = replace(rules, gaps=(*rules.gaps, *partial_gaps(feed, partial)))
    if isinstance(feed.cadence, Capture):
        rules = replace(
            rules, captures=Captures(feed.cadence.every_hours, frozenset(s.start for s in (*spans, *partial)))
        )
    return OpenSource(parse=_parser(there, feed, instrument_history(store, there)), rules=rules)


def with_named(
    store: LandingStore, feed: Feed, jobs: Callable[[Span], Mapping[str, Job]]
) -> Callable[[Span], Mapping[str, Job]]:
    """`jobs`, and one for each subject that landed rows of the tables `feed` follows name in the span. What lands later is asked
    for by the next fetch of the span."""

    def all_jobs(span: Span) -> Mapping[str, Job]:
        names: set[str] = set()
        for there, followed in _following(feed):
            for landing in store.current(there.source(followed)):
                landed = span_of(landing)
                if landed.start >= span.end or landed.end <= span.start:
                    continue
                context = Context(there.name, landing.fetched_at, landed, InstrumentHistory.none())
                for parsed in followed.parse(list(Pack(landing.path).pages()), context):
                    if parsed.table in feed.follows and feed.named:
                        inside = pl.col("occurred_at").is_between(span.start, span.end, closed="left")
                        names |= set(feed.named(parsed.rows.filter(inside)))
        return {**{name: Job(name, span) for name in sorted(names)}, **jobs(span)}

    return all_jobs


def _following(feed: Feed) -> Iterator[tuple[Venue, Feed]]:
    for name in VENUES:
        there = venue(name)
        for other in there.feeds:
            if set(other.tables) & set(feed.follows):
                yield there, other


def instrument_history(store: LandingStore, there: Venue) -> InstrumentHistory:
    """The instruments of a venue as its landings of the feed `instruments` describe them, read when they are needed.

    A capture in which the venue said the same as in the one before it adds nothing to the history and is not read.
    """
    feed = next((feed for feed in there.feeds if feed.name == INSTRUMENTS), None)

    def read() -> Iterator[tuple[Landing, pl.DataFrame]]:
        said = None
        for landing in store.current(there.source(feed)) if feed else ():
            before, said = said, landing.request.get("content")
            if said is not None and said == before:
                continue
            context = Context(there.name, landing.fetched_at, span_of(landing), InstrumentHistory.none())
            for parsed in feed.parse(list(Pack(landing.path).pages()), context) if feed else ():
                if parsed.table == INSTRUMENTS:
                    yield landing, parsed.rows

    return InstrumentHistory(read)


def _parser(there: Venue, feed: Feed, history: InstrumentHistory) -> Parser:
    def parse(landing: Landing) -> Iterator[ParsedBatch]:
        span = span_of(landing)
        context = Context(there.name, landing.fetched_at, span, history.at(span))
        for parsed in feed.parse(list(Pack(landing.path).pages()), context):
            yield ParsedBatch(
                table=parsed.table,
                landing_id=landing.landing_id,
                rows=parsed.rows.with_columns(pl.lit(None, pl.String).alias("_field")),
                rejects=no_rejects() if parsed.rejects is None else parsed.rejects,
            )

    return parse
