"""Which module reads the landings of a source: the part of the source id before the first dot is the module's name.

Adding a venue adds one line here. No parsing.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import Captures, ParsedBatch, SourceRules, no_rejects
from pipelines.contract.ddl import Contract
from pipelines.core.errors import ConfigError
from pipelines.core.files import is_fault_of_bytes
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.core.universe import choose_universe
from pipelines.extract import fetch_log
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Landing, LandingStore, Parser
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Capture, Context, Feed, Venue
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.files import source as files
from pipelines.sources.instruments import INSTRUMENTS, TURNOVER, InstrumentHistory, event_rules, partial_gaps

SOURCES: Final = Path(__file__).resolve().parent
SCHEMA: Final = PROJECT_ROOT / "warehouse" / "schema"

GROUPS: Final = frozenset({"cex", "dex", "chain"})
"""Folders in which a venue is a module or a folder."""

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
    version: str
    """Version of everything that decides what is read from a landing; see reader_version."""


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
                try:
                    ranked = there.turnover(list(Pack(landing.path).pages()))
                except BaseException as error:
                    if not is_fault_of_bytes(error):
                        raise
                    fetch_log.record("malformed", f"{name}.{TURNOVER} {landing.partition}: {error}", effect="given_up")
                    continue
                for asset, turnover in ranked.items():
                    ranking[asset] = ranking.get(asset, 0.0) + turnover
    return choose_universe(months[month] for month in sorted(months))


def open_source(store: LandingStore, contract: Contract, source: str, landings: Sequence[Landing]) -> OpenSource:
    """Parser and rules of `source`. Raises ConfigError for a source no module here reads."""
    module, _, name = source.partition(".")
    if module == "files":
        parse, file_rules = files.open_landings(store, contract, landings)
        return OpenSource(parse, file_rules, reader_version(store, source))
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
    partial = [span_of(landing) for landing in landings if landing.completeness == "partial"]
    rules = replace(rules, gaps=(*rules.gaps, *partial_gaps(feed, partial)))
    if isinstance(feed.cadence, Capture):
        rules = replace(
            rules, captures=Captures(feed.cadence.every_hours, frozenset(s.start for s in (*spans, *partial)))
        )
    history = instrument_history(store, there)
    return OpenSource(_parser(there, feed, history), rules, reader_version(store, source))


def reader_version(store: LandingStore, source: str) -> str:
    """A digest of the code, the contract and, for files, the mappings that decide what is read from a source's landings.

    It changes with every change of these, also with one that makes no difference: a refused landing is then read once more.
    """
    module = source.partition(".")[0]
    digest = hashlib.sha256(_shared_code())
    if module == "files":
        paths = [*_python_files(SOURCES / "files"), *sorted(store.mapping_path(source, "").parent.glob("*.toml"))]
    elif module in VENUES:
        path = Path(*VENUES[module].partition(":")[0].split("."))
        code = SOURCES.parents[1] / path
        paths = _python_files(code.parent) if code.parent.name not in GROUPS else [code.with_suffix(".py")]
    else:
        paths = []
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _shared_code() -> bytes:
    """What every source is read with: shared modules, the contract, cleaning, and the gate."""
    package = SOURCES.parent
    folders = [SOURCES, package / "contract", package / "core", package / "clean", package / "quality"]
    paths = [*(path for folder in folders for path in _python_files(folder)), *SCHEMA.glob("*.sql")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).digest()


def _python_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.py"))


def instrument_history(store: LandingStore, there: Venue) -> InstrumentHistory:
    """The instruments of a venue as its landings of the feed `instruments` describe them, read when they are needed.

    A capture in which the venue said the same as in the one before it adds nothing to the history and is not read.
    """
    feed = next((feed for feed in there.feeds if feed.name == INSTRUMENTS), None)

    def read() -> Iterator[tuple[Landing, pl.DataFrame]]:
        said = None
        if feed is None:
            return
        for landing in store.current(there.source(feed)):
            before, said = said, landing.request.get("content")
            if said is not None and said == before:
                continue
            context = Context(there.name, landing.fetched_at, span_of(landing), InstrumentHistory.none())
            try:
                frames = [
                    x.rows for x in feed.parse(list(Pack(landing.path).pages()), context) if x.table == INSTRUMENTS
                ]
            except BaseException as error:
                if not is_fault_of_bytes(error):
                    raise
                # The load of this source refuses the landing; the instruments of the others stand.
                continue
            yield from ((landing, frame) for frame in frames)

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
