"""Registry of venues, and how the landings of a source are parsed. A source id is `<venue>.<feed>`.

Adding a venue adds one line here. No parsing.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import Captures, CoverageSpan, LeftOut, ParsedBatch, SourceRules, no_rejects
from pipelines.contract.ddl import Contract
from pipelines.contract.versions import READING_VERSION
from pipelines.core.errors import ConfigError
from pipelines.core.files import is_fault_of_bytes
from pipelines.core.limits import DEFAULTS, current
from pipelines.core.settings import Settings
from pipelines.core.universe import DEFAULT_UNIVERSE, canonical_asset, choose_universe
from pipelines.core.words import nearest
from pipelines.extract import fetch_log
from pipelines.extract.answers import UNREADABLE
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Landing, LandingStore, Parser
from pipelines.extract.listening import heard_of
from pipelines.extract.pack import Pack
from pipelines.extract.stream import Stream
from pipelines.extract.venue import Capture, Context, Feed, Job, Parse, Span, Venue
from pipelines.sources.account import Account
from pipelines.sources.asset_class import without_coin
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.files import source as files
from pipelines.sources.instruments import INSTRUMENTS, TURNOVER, InstrumentHistory, event_rules, partial_gaps
from pipelines.sources.reading import AnswerReader, read_pages

VENUES: Final[Mapping[str, str]] = {
    "aster": "pipelines.sources.dex.aster",
    "binance": "pipelines.sources.cex.binance.venue",
    "binance_archive": "pipelines.sources.cex.binance_archive.venue",
    "bingx": "pipelines.sources.cex.bingx",
    "bitfinex": "pipelines.sources.cex.bitfinex",
    "bitget": "pipelines.sources.cex.bitget",
    "bybit": "pipelines.sources.cex.bybit.venue",
    "cftc": "pipelines.sources.cex.cftc",
    "coinalyze": "pipelines.sources.cex.coinalyze",
    "defillama": "pipelines.sources.chain.defillama",
    "deribit": "pipelines.sources.cex.deribit.venue",
    "dydx": "pipelines.sources.dex.dydx",
    "edgex": "pipelines.sources.dex.edgex",
    **dict.fromkeys(sorted(chain.venue for chain in CHAINS), "pipelines.sources.chain.evm.venue:VENUES"),
    "gate": "pipelines.sources.cex.gate.venue",
    "htx": "pipelines.sources.cex.htx",
    "hyperliquid": "pipelines.sources.dex.hyperliquid.venue",
    "hyperliquid_fills": "pipelines.sources.dex.hyperliquid.fills",
    "kamino": "pipelines.sources.chain.solana.kamino",
    "kraken": "pipelines.sources.cex.kraken.venue",
    "kucoin": "pipelines.sources.cex.kucoin",
    "lighter": "pipelines.sources.dex.lighter",
    "mexc": "pipelines.sources.cex.mexc",
    "okx": "pipelines.sources.cex.okx.venue",
    "orderly": "pipelines.sources.dex.orderly",
    "paradex": "pipelines.sources.dex.paradex",
    "phemex": "pipelines.sources.cex.phemex",
}
"""Venues by name: the module that defines VENUE, or "module:NAME" where one module defines several venues."""

LISTS_KEPT: Final = 256
"""Lists of instruments that a process keeps once it has read them: each fetch looks at all of a venue."""


@dataclass(frozen=True)
class OpenSource:
    """Parser of a source's landings, and its coverage rules."""

    parse: Parser
    rules: SourceRules
    version: str
    """By which refused landings are read again; see reader_version."""


def venue(name: str) -> Venue:
    """The venue `name`. Raises ConfigError listing the known venues."""
    if name not in VENUES:
        raise ConfigError(f"unknown venue {name!r}; known venues: {', '.join(VENUES)}.{nearest(name, VENUES)}")
    module, _, attribute = VENUES[name].partition(":")
    found: Any = getattr(importlib.import_module(module), attribute or "VENUE")
    one: Venue = found[name] if attribute else found
    return one


def followed_venues(settings: Settings) -> tuple[Venue, ...]:
    """The venues in the settings; if none are set, every venue that needs no API key or whose key is in the environment.

    Raises ConfigError for an unknown name.
    """
    if settings.venues:
        return tuple(venue(name) for name in settings.venues)
    every = (venue(name) for name in VENUES)
    return tuple(one for one in every if all(os.environ.get(s.variable) for s in one.secrets if s.required))


def check_endpoints(settings: Settings) -> None:
    """Raise ConfigError for an endpoint in the settings whose venue or name does not exist."""
    for key in settings.endpoints:
        venue_name, _, name = key.partition(".")
        owner = venue(venue_name)
        known = {**owner.endpoints, **{key: url for stream in owner.streams for key, url in stream.endpoints.items()}}
        optional = owner.optional_endpoints
        if name not in known and not (optional and optional.fullmatch(name)):
            raise ConfigError(
                f"settings: {venue_name} has no endpoint {name!r}; it has {', '.join(known)}.{nearest(name, known)}"
            )


def followed_assets(store: LandingStore, settings: Settings) -> tuple[str, ...]:
    """The assets in the settings; if none are set, the universe chosen by universe.choose_universe.

    A ranking that was captured before lists of contracts were landed with it (until 2026-11) ranks tickers of any class: those that
    the venue's instruments know as no coin are left out.
    """
    if settings.assets:
        return settings.assets
    months: dict[str, dict[str, float]] = {}
    for name in VENUES:
        owner = venue(name)
        if (turnover_of := owner.turnover) is None:
            continue
        others: frozenset[str] | None = None
        seen: set[str] = set()
        for landing in store.current(f"{name}.{TURNOVER}"):
            month = landing.partition[:7]
            if month not in seen:
                seen.add(month)
                ranking = months.setdefault(month, {})
                try:
                    turnover = turnover_of(list(Pack(landing.path).pages()))
                except BaseException as error:
                    if not is_fault_of_bytes(error):
                        raise
                    fetch_log.record("malformed", f"{name}.{TURNOVER} {landing.partition}: {error}", effect="given_up")
                    continue
                if others is None:
                    others = without_coin(instrument_history(store, owner).assets)
                for asset, amount in turnover.items():
                    if asset not in others:
                        ranking[asset] = ranking.get(asset, 0.0) + amount
    return choose_universe(months[month] for month in sorted(months))


def check_assets(store: LandingStore, owner: Venue, history: InstrumentHistory, assets: Sequence[str]) -> None:
    """Raise ConfigError for an asset that no landed list of instruments has, and that is like one that some list has.

    Called once the venue's own list was captured. An asset like no other may be listed at a venue that was never asked: it is
    noted in the journal.
    """
    here = history.assets
    missing = [asset for asset in assets if asset not in here and asset not in DEFAULT_UNIVERSE]
    if not here or not missing:
        return
    others = (instrument_history(store, venue(name)).assets for name in VENUES if name != owner.name)
    known = here.union(DEFAULT_UNIVERSE, *others)
    for asset in missing:
        if asset in known:
            continue
        canonical = canonical_asset(asset)
        meant = f" Did you mean {canonical}?" if canonical in known else nearest(canonical, known)
        text = f"no venue's list of instruments has the asset {asset!r}.{meant}"
        if meant:
            raise ConfigError(f"assets: {text}")
        fetch_log.record("other", f"{owner.name}: {text}", effect="noted")


def open_source(store: LandingStore, contract: Contract, source: str, landings: Sequence[Landing]) -> OpenSource:
    """Parser and rules of `source`. Raises ConfigError for an unknown source."""
    venue_name, _, feed_name = source.partition(".")
    if venue_name == "files":
        parse, file_rules = files.open_landings(store, contract, landings)
        return OpenSource(parse, file_rules, reader_version(store, source))
    if venue_name not in VENUES:
        raise ConfigError(
            f"no module of pipelines/sources reads {source!r}; landings of a removed source can be moved out of raw/."
        )
    owner = venue(venue_name)
    stream = next((stream for stream in owner.streams if stream.name == feed_name), None)
    if stream is not None:
        parse = _parser(contract, owner, stream.feed, instrument_history(store, owner))
        return OpenSource(parse, stream_rules(owner, stream, landings), reader_version(store, source))
    feed = next((feed for feed in owner.feeds if feed.name == feed_name), None)
    if feed is None:
        raise ConfigError(
            f"{venue_name} has no feed {feed_name!r}; landings of a removed feed can be moved out of raw/."
        )
    # Unpublished data and failed instruments do not count as days without events.
    spans = [span_of(landing) for landing in landings if landing.completeness in ("complete", "empty")]
    rules: SourceRules = feed.rules(spans) if feed.rules else event_rules(owner, feed, spans)
    if feed.rules_of_subjects:
        held = [
            (span_of(landing), frozenset(name for name, outcome in covers.items() if outcome != "not_yet_published"))
            for landing in landings
            if (covers := landing.request.get("covers", {}))
        ]
        rules = feed.rules_of_subjects(held)
    incomplete = [span_of(landing) for landing in landings if landing.completeness == "partial"]
    rules = replace(rules, gaps=(*rules.gaps, *partial_gaps(feed, incomplete)))
    if isinstance(feed.cadence, Capture):
        rules = replace(
            rules, captures=Captures(feed.cadence.every_hours, frozenset(s.start for s in (*spans, *incomplete)))
        )
    history = instrument_history(store, owner)
    return OpenSource(_parser(contract, owner, feed, history), rules, reader_version(store, source))


def stream_rules(owner: Venue, stream: Stream, landings: Sequence[Landing]) -> SourceRules:
    """Coverage of a recorded stream: every day from the first to the last that was listened to. How much of each was heard is
    written afterwards, by clean.listening."""
    days = sorted({day for one in heard_of(landings) for day in one.days})
    if not days:
        return SourceRules()
    return SourceRules(spans=tuple(CoverageSpan(table, owner.name, days[0], days[-1]) for table in stream.tables))


def recorded_streams() -> Iterator[tuple[Venue, Stream]]:
    """Every stream that can be recorded, with its venue."""
    for name in VENUES:
        yield from ((venue(name), stream) for stream in venue(name).streams)


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
                if landing.completeness == UNREADABLE:
                    continue
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


def parser_version(source: str, landings: Sequence[Landing] = ()) -> int | None:
    """Version of everything that decides which rows are read from a landing of `source`; None for a source that is no more.

    The one number by which landings are read again, those that were refused and those that were loaded. Of files it depends on
    the mappings of `landings`, all those of the source.
    """
    venue_name, _, feed_name = source.partition(".")
    if venue_name == "files":
        return READING_VERSION + files.reading_version(landings)
    if venue_name not in VENUES:
        return None
    owner = venue(venue_name)
    versions = {one.name: one.parser_version for one in owner.feeds}
    versions |= {one.name: one.parser_version for one in owner.streams}
    return READING_VERSION + versions[feed_name] if feed_name in versions else None


def reader_version(store: LandingStore, source: str) -> str:
    """The version of the parser, limits that were set and, of files, the mappings: a landing that was refused is read again
    where one of them has changed."""
    parts = [str(parser_version(source))]
    if current() != DEFAULTS:
        parts.append(_digest(current().model_dump_json()))
    if source.startswith("files."):
        # A mapping is kept by its digest. Imported later, it may accept what was refused before.
        mappings = sorted(store.mapping_path(source, "").parent.glob("*.toml"))
        parts.append(_digest(" ".join(path.stem for path in mappings)))
    return "+".join(parts)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def instrument_history(store: LandingStore, venue: Venue) -> InstrumentHistory:
    """Instruments of a venue from its landings of the feed `instruments`, read on first use.

    A capture with the same content digest as the one before it adds nothing and is skipped.
    """
    feed = next((feed for feed in venue.feeds if feed.name == INSTRUMENTS), None)

    def read() -> Iterator[tuple[Landing, pl.DataFrame]]:
        if feed is None:
            return
        digest = None
        for landing in store.current(venue.source(feed)):
            previous, digest = digest, landing.request.get("content")
            if digest is not None and digest == previous:
                continue
            try:
                pack = landing.path.stat()
                frames = _listed(
                    feed.parse, venue.name, landing.path, landing.fetched_at, span_of(landing), pack.st_size, pack.st_mtime_ns
                )  # fmt: skip
            except BaseException as error:
                if not is_fault_of_bytes(error):
                    raise
                # The load of this source refuses the landing; the other landings are still used.
                continue
            yield from ((landing, frame) for frame in frames)

    return InstrumentHistory(read)


@lru_cache(maxsize=LISTS_KEPT)
def _listed(
    parse: Parse, venue_name: str, path: Path, fetched_at: datetime, span: Span, size: int, changed: int
) -> tuple[pl.DataFrame, ...]:
    """Instruments of one landing. `size` and `changed` are those of its pack: one that was replaced is read again."""
    context = Context(venue_name, fetched_at, span, InstrumentHistory.none())
    return tuple(part.rows for part in parse(list(Pack(path).pages()), context) if part.table == INSTRUMENTS)


def answer_reader(store: LandingStore, contract: Contract, venue: Venue, feed: Feed) -> AnswerReader:
    """Reads what `feed` fetches as its load will. The instruments are those landed when it first reads."""
    history = instrument_history(store, venue)
    return AnswerReader(contract, venue, feed, history.at, cache(partial(reader_version, store, venue.source(feed))))


def _parser(contract: Contract, venue: Venue, feed: Feed, history: InstrumentHistory) -> Parser:
    def parse(landing: Landing) -> Iterator[ParsedBatch]:
        span = span_of(landing)
        context = Context(venue.name, landing.fetched_at, span, history.at(span))
        account = Account()
        before: ParsedBatch | None = None
        for parsed in read_pages(contract, feed, Pack(landing.path).pages(), context, account):
            if before is not None:
                yield before
            before = ParsedBatch(
                table=parsed.table,
                landing_id=landing.landing_id,
                rows=parsed.rows.with_columns(pl.lit(None, pl.String).alias("_field")),
                rejects=no_rejects() if parsed.rejects is None else parsed.rejects,
            )
        if before is not None:
            # What was left out is known at the end.
            counts = account.total()
            yield replace(before, left_out=LeftOut(counts.outside, counts.ignored))

    return parse
