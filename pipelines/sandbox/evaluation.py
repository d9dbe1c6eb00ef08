"""Whether the warehouse finds what is planted, and how often it finds something where nothing is: many simulated markets, planted
and null, in one warehouse and one build. How a market's rows come about is market_frames.py's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from pipelines.core.progress import Progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing, LandingStore
from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_episodes import SIGNALS, Episode, Kind
from pipelines.sandbox.market_frames import Scope, rows

if TYPE_CHECKING:
    import duckdb

    from pipelines.contract.batch import ParsedBatch, SourceRules

PUBLISHED_AFTER: Final = timedelta(days=9)
SEEDS_AT_ONCE: Final = 5
"""Seeds in one warehouse: ten markets of 480 days and six assets."""

NULL_BOUNDS: Final[Mapping[str, float]] = {
    # Growth of 8% in a day under a flat price does not happen by chance.
    "oi_expansion": 0.01, "oi_expansion_confirmed": 0.01,
    # One fall in six days, and open interest that moved by half a deviation with it: forced closings make it a fall more often.
    "bought_dip": 0.05, "deleveraging": 0.10,
    # States in which a market is much of the time, and not events.
    "healthy_funding": 0.50, "dense_liquidation_zone": 0.45,
    "funding_normalization": 0.02,
    "capitulation": 0.05,
    # Both percentiles high or low at once: 20% of 20%, more where funding follows open interest.
    "upside_setup": 0.08, "top_risk": 0.10, "bottom_zone": 0.10,
    # Beyond the 97th and 3rd percentile twice in a row.
    "extreme_positive_funding": 0.03, "extreme_negative_funding": 0.03,
    # The record has 3.4% for bitcoin and 3.3% for ether.
    "large_liquidations": 0.06,
    "systemic_risk": 0.10,
    # Beyond the 95th and 5th percentile; crowds stay for days.
    "long_crowded": 0.08, "short_crowded": 0.08,
    # A z-score that leads another by 1 and is above 0.
    "lending_stress": 0.15, "perp_dex_stress": 0.15,
}  # fmt: skip
"""Stated rates of false positives: of the days of assets without anything planted, at most so many may have the signal on."""

ELSEWHERE: Final[Mapping[Kind, str]] = {
    "outage": "a day missing in ops.coverage",
    "unit_error": "an implausible change",
}
"""Planted episodes of data that rows alone can show. Late and restated files are of the way over HTTP, which the demo goes."""


@dataclass(frozen=True)
class Found:
    """How many of the planted episodes of a kind were found on their days and asset, and the seeds of those that were not."""

    kind: Kind
    looked_for: str
    planted: int
    found: int
    missed_seeds: tuple[int, ...]


@dataclass(frozen=True)
class NullRate:
    """Asset-days on which a signal was on in markets without anything planted, of those on which it was known."""

    signal: str
    on: int
    known: int
    highest_of_a_seed: float

    @property
    def rate(self) -> float | None:
        return self.on / self.known if self.known else None

    @property
    def bound(self) -> float | None:
        return NULL_BOUNDS.get(self.signal)


@dataclass(frozen=True)
class Evaluation:
    """What `judge_markets` found; `is_sound` where every episode was and no null rate exceeds its bound."""

    seeds: tuple[int, ...]
    first: date
    last: date
    assets: tuple[str, ...]
    found: tuple[Found, ...]
    null_rates: tuple[NullRate, ...]

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def is_sound(self) -> bool:
        within = all(n.rate is None or n.bound is None or n.rate <= n.bound for n in self.null_rates)
        return within and all(f.found == f.planted for f in self.found)


@dataclass(frozen=True)
class _Market:
    seed: int
    planted: bool

    @property
    def tag(self) -> str:
        return f"{self.seed:04d}{'P' if self.planted else 'N'}"


def judge_markets(
    settings: Settings, seeds: Sequence[int], *, first: date, last: date, assets: Sequence[str], progress: Progress
) -> Evaluation:
    """Fill warehouses below the home of `settings` with a planted and a null market of every seed, build the marts, and look.

    SEEDS_AT_ONCE share a warehouse, so that memory stays bounded. Raises BuildError where dbt fails.
    """
    batches = [seeds[i : i + SEEDS_AT_ONCE] for i in range(0, len(seeds), SEEDS_AT_ONCE)]
    parts = []
    for number, batch in enumerate(batches):
        home = settings.root / f"seeds-{batch[0]}"
        there = settings.model_copy(update={"home": home})
        name = f"{number + 1} of {len(batches)}: " if len(batches) > 1 else ""

        def told(what: str, done: int, of: int, *, name: str = name) -> None:
            progress(name + what, done, of)

        parts.append(_judge(there, batch, first=first, last=last, assets=tuple(assets), progress=told))
        shutil.rmtree(home)
    return Evaluation(
        seeds=tuple(seeds), first=first, last=last, assets=tuple(assets),
        found=tuple(_all_found([found for found, _ in parts])), null_rates=tuple(_all_rates([rates for _, rates in parts])),
    )  # fmt: skip


def _judge(
    settings: Settings, seeds: Sequence[int], *, first: date, last: date, assets: Sequence[str], progress: Progress
) -> tuple[list[Found], list[NullRate]]:
    from pipelines.core.paths import prepare_home
    from pipelines.operations.build import build_marts
    from pipelines.storage.warehouse import writer

    prepare_home(settings)
    markets = [_Market(seed, planted) for seed in seeds for planted in (True, False)]
    folder = settings.root / "scratch" / "markets"
    folder.mkdir(parents=True)
    episodes: dict[str, Sequence[Episode]] = {}
    for done, one in enumerate(markets):
        progress("simulate", done, len(markets))
        market = SimulatedMarket(first, last, seed=one.seed, assets=assets, planted=one.planted)
        episodes[one.tag] = market.episodes
        for number, told in enumerate(rows(market, Scope(tag=one.tag, captured_days=(last - first).days + 1))):
            told.frame.write_parquet(folder / f"{told.source}~{told.table}~{one.tag}~{number}.parquet")
    _load(settings, folder, first, last, progress)
    build_marts(settings, progress=progress).raise_faults()
    with writer(settings, what="evaluation") as con:
        return list(_found(con, episodes)), _null_rates(con)


def _all_found(parts: Sequence[Sequence[Found]]) -> Iterator[Found]:
    for kind, looked_for in {one.kind: one.looked_for for part in parts for one in part}.items():
        mine = [one for part in parts for one in part if one.kind == kind]
        missed = tuple(seed for one in mine for seed in one.missed_seeds)
        yield Found(kind, looked_for, sum(one.planted for one in mine), sum(one.found for one in mine), missed)


def _all_rates(parts: Sequence[Sequence[NullRate]]) -> Iterator[NullRate]:
    for signal in sorted({one.signal for part in parts for one in part}):
        mine = [one for part in parts for one in part if one.signal == signal]
        highest = max(one.highest_of_a_seed for one in mine)
        yield NullRate(signal, sum(one.on for one in mine), sum(one.known for one in mine), highest)


def _load(settings: Settings, folder: Path, first: date, last: date, progress: Progress) -> None:
    """Every source as one landing, by the loader that loads everything else; without the gate, which judges one batch at a time
    and no crowd of markets."""
    from pipelines.clean.load import load_source
    from pipelines.contract.ddl import load_contract
    from pipelines.storage.warehouse import writer

    contract = load_contract(settings.schema_dir)
    sources = sorted({file.name.partition("~")[0] for file in folder.iterdir()})
    now = datetime.combine(last, time()) + PUBLISHED_AFTER

    def parse(landing: Landing) -> Iterator[ParsedBatch]:
        from pipelines.contract.batch import ParsedBatch

        for file in sorted(folder.glob(f"{landing.source}~*")):
            table = file.name.split("~")[1]
            frame = pl.read_parquet(file)
            schema = contract.table(table).polars_schema()
            typed = frame.select(pl.col(name).cast(schema[name]) for name in frame.columns)
            extra = (
                pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("_line"),
                pl.lit(None, pl.String).alias("_field"),
            )
            yield ParsedBatch(table, landing.landing_id, typed.with_columns(*extra))

    store = LandingStore(settings.root)
    for done, source in enumerate(sources):
        progress("load", done, len(sources))
        load_source(
            partial(writer, settings, what="load"), contract=contract, source=source, store=store,
            landings=[_landing(store, source, folder, now)], parse=parse, rules=_rules(source, first, last),
            gate=lambda _con, _inputs: [], now=now,
        )  # fmt: skip


def _landing(store: LandingStore, source: str, folder: Path, now: datetime) -> Landing:
    """A landing that stands for all frames of a source."""
    name = folder / source
    name.write_text(source, encoding="utf-8")
    return store.land_file(name, source=source, partition="history", part="all", request={}, clock=lambda: now)


def _rules(source: str, first: date, last: date) -> SourceRules:
    """Coverage as the venue's module has it: no liquidation on a landed day means that there was none."""
    from pipelines.extract.venue import Span
    from pipelines.sources import registry
    from pipelines.sources.instruments import event_rules

    venue, _, name = source.partition(".")
    there = registry.venue(venue)
    [feed] = [feed for feed in there.feeds if feed.name == name]
    spans = [Span.of_days(first, last)]
    return feed.rules(spans) if feed.rules else event_rules(there, feed, spans)


def _found(con: duckdb.DuckDBPyConnection, episodes: Mapping[str, Sequence[Episode]]) -> Iterator[Found]:
    planted = pl.DataFrame(
        [
            (e.kind, tag, int(tag[:4]), e.asset + tag, e.venue, e.first_day, e.last_day, e.signal)
            for tag, mine in episodes.items()
            for e in mine
            if e.signal is not None or e.kind in ELSEWHERE
        ],
        schema=["kind", "tag", "seed", "asset", "venue", "first_day", "last_day", "signal"],
        orient="row",
    )
    con.register("planted", planted)
    looked = con.sql(
        """
        select
            p.kind, p.seed,
            case p.kind
                when 'outage' then exists (
                    select 1 from ops.coverage as c
                    where c.venue = p.venue and c.table_name = 'open_interest' and ends_with(c.instrument, p.tag)
                    and c.trade_date between p.first_day and p.last_day and c.status = 'missing'
                )
                when 'unit_error' then exists (
                    select 1 from intermediate.int_oi_plausibility_daily as o
                    where o.venue = p.venue and o.asset = p.asset and not o.is_plausible
                    and o.trade_date between p.first_day and p.last_day
                )
                else exists (
                    select 1 from marts.signals_daily as s
                    where s.signal = p.signal and s.asset = p.asset and s.state = 'on'
                    and s.trade_date between p.first_day and p.last_day
                )
            end as is_found
        from planted as p
        """
    ).pl()
    con.unregister("planted")
    for kind in dict.fromkeys(planted["kind"]):
        mine = looked.filter(kind=kind)
        missed = sorted(mine.filter(~pl.col("is_found"))["seed"])
        yield Found(kind, SIGNALS.get(kind) or ELSEWHERE[kind], mine.height, mine.height - len(missed), tuple(missed))


def _null_rates(con: duckdb.DuckDBPyConnection) -> list[NullRate]:
    found = con.execute(
        """
        with seeds as (
            select
                signal,
                substr(asset, -5) as tag,
                count(*) filter (where state = 'on') as days_on,
                count(*) filter (where state <> 'unknown') as days_known
            from marts.signals_daily
            where ends_with(asset, 'N')
            group by all
        )
        select signal, sum(days_on), sum(days_known), coalesce(max(days_on / nullif(days_known, 0)), 0)
        from seeds group by signal order by signal
        """
    ).fetchall()
    return [NullRate(signal, int(on), int(known), float(highest)) for signal, on, known, highest in found]
