"""Registry of venues, and how the landings of a source are parsed. A source id is `<venue>.<feed>`.

Adding a venue adds one line here. No parsing.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from pipelines.contract.batch import Captures, ParsedBatch, SourceRules, no_rejects
from pipelines.contract.ddl import Contract
from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.core.universe import choose_universe
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Landing, LandingStore, Parser
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Capture, Context, Feed, Venue
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
    "evm_arbitrum": "pipelines.sources.chain.evm.chains:ARBITRUM",
    "evm_avalanche": "pipelines.sources.chain.evm.chains:AVALANCHE",
    "evm_base": "pipelines.sources.chain.evm.chains:BASE",
    "evm_bnb": "pipelines.sources.chain.evm.chains:BNB",
    "evm_ethereum": "pipelines.sources.chain.evm.chains:ETHEREUM",
    "evm_optimism": "pipelines.sources.chain.evm.chains:OPTIMISM",
    "evm_polygon": "pipelines.sources.chain.evm.chains:POLYGON",
    "gate": "pipelines.sources.cex.gate.venue",
    "hyperliquid": "pipelines.sources.dex.hyperliquid.venue",
    "hyperliquid_fills": "pipelines.sources.dex.hyperliquid.fills",
    "kraken": "pipelines.sources.cex.kraken.venue",
    "okx": "pipelines.sources.cex.okx.venue",
    "orderly": "pipelines.sources.dex.orderly",
}
"""Venues by name: the module that defines VENUE, or "module:NAME" where one module defines several venues."""


@dataclass(frozen=True)
class OpenSource:
    """Parser of a source's landings, and its coverage rules."""

    parse: Parser
    rules: SourceRules


def venue(name: str) -> Venue:
    """The venue `name`. Raises ConfigError listing the known venues."""
    if name not in VENUES:
        raise ConfigError(f"unknown venue {name!r}; known venues: {', '.join(VENUES)}.")
    module, _, attribute = VENUES[name].partition(":")
    found: Venue = getattr(importlib.import_module(module), attribute or "VENUE")
    return found


def followed_venues(settings: Settings) -> tuple[Venue, ...]:
    """The venues in the settings; if none are set, every venue that needs no API key or whose key is in the environment.

    Raises ConfigError for an unknown name.
    """
    if settings.venues:
        return tuple(venue(name) for name in settings.venues)
    every = (venue(name) for name in VENUES)
    return tuple(one for one in every if all(os.environ.get(s.variable) for s in one.secrets if s.required))


def followed_assets(store: LandingStore, settings: Settings) -> tuple[str, ...]:
    """The assets in the settings; if none are set, the universe chosen by universe.choose_universe."""
    if settings.assets:
        return settings.assets
    months: dict[str, dict[str, float]] = {}
    for name in VENUES:
        turnover_of = venue(name).turnover
        if turnover_of is None:
            continue
        seen: set[str] = set()
        for landing in store.current(f"{name}.{TURNOVER}"):
            month = landing.partition[:7]
            if month not in seen:
                seen.add(month)
                ranking = months.setdefault(month, {})
                for asset, turnover in turnover_of(list(Pack(landing.path).pages())).items():
                    ranking[asset] = ranking.get(asset, 0.0) + turnover
    return choose_universe(months[month] for month in sorted(months))


def open_source(store: LandingStore, contract: Contract, source: str, landings: Sequence[Landing]) -> OpenSource:
    """Parser and rules of `source`. Raises ConfigError for an unknown source."""
    venue_name, _, feed_name = source.partition(".")
    if venue_name == "files":
        return OpenSource(*files.open_landings(store, contract, landings))
    if venue_name not in VENUES:
        raise ConfigError(
            f"no module of pipelines/sources reads {source!r}; landings of a removed source can be moved out of raw/."
        )
    owner = venue(venue_name)
    feed = next((feed for feed in owner.feeds if feed.name == feed_name), None)
    if feed is None:
        raise ConfigError(
            f"{venue_name} has no feed {feed_name!r}; landings of a removed feed can be moved out of raw/."
        )
    # Unpublished data and failed instruments do not count as days without events.
    spans = [span_of(landing) for landing in landings if landing.completeness in ("complete", "empty")]
    rules: SourceRules = feed.rules(spans) if feed.rules else event_rules(owner, feed, spans)
    partial = [span_of(landing) for landing in landings if landing.completeness == "partial"]
    rules = replace(rules, gaps=(*rules.gaps, *partial_gaps(feed, partial)))
    if isinstance(feed.cadence, Capture):
        rules = replace(
            rules, captures=Captures(feed.cadence.every_hours, frozenset(s.start for s in (*spans, *partial)))
        )
    return OpenSource(parse=_parser(owner, feed, instrument_history(store, owner)), rules=rules)


def instrument_history(store: LandingStore, venue: Venue) -> InstrumentHistory:
    """Instruments of a venue from its landings of the feed `instruments`, read on first use.

    A capture with the same content digest as the one before it adds nothing and is skipped.
    """
    feed = next((feed for feed in venue.feeds if feed.name == INSTRUMENTS), None)

    def read() -> Iterator[tuple[Landing, pl.DataFrame]]:
        digest = None
        for landing in store.current(venue.source(feed)) if feed else ():
            previous, digest = digest, landing.request.get("content")
            if digest is not None and digest == previous:
                continue
            context = Context(venue.name, landing.fetched_at, span_of(landing), InstrumentHistory.none())
            for parsed in feed.parse(list(Pack(landing.path).pages()), context) if feed else ():
                if parsed.table == INSTRUMENTS:
                    yield landing, parsed.rows

    return InstrumentHistory(read)


def _parser(venue: Venue, feed: Feed, history: InstrumentHistory) -> Parser:
    def parse(landing: Landing) -> Iterator[ParsedBatch]:
        span = span_of(landing)
        context = Context(venue.name, landing.fetched_at, span, history.at(span))
        for parsed in feed.parse(list(Pack(landing.path).pages()), context):
            yield ParsedBatch(
                table=parsed.table,
                landing_id=landing.landing_id,
                rows=parsed.rows.with_columns(pl.lit(None, pl.String).alias("_field")),
                rejects=no_rejects() if parsed.rejects is None else parsed.rejects,
            )

    return parse
