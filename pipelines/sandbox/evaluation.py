"""Signal evaluation: detection of planted episodes and false-positive rates, on many simulated markets in one warehouse and build.

Each seed has a market with planted episodes and a null market without. Their rows come from market_frames.py.
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
"""Seeds per warehouse: ten markets of 480 days and six assets."""

NULL_BOUNDS: Final[Mapping[str, float]] = {
    # Open interest does not grow 8% in a day at a flat price by chance.
    "oi_expansion": 0.01, "oi_expansion_confirmed": 0.01,
    # A price fall on one day in six, open interest moving by half a standard deviation; forced closes make it fall more often.
    "bought_dip": 0.05, "deleveraging": 0.10,
    # Frequent states rather than events.
    "healthy_funding": 0.50, "dense_liquidation_zone": 0.45,
    "funding_normalization": 0.02,
    "capitulation": 0.05,
    # Both percentiles high or low at once: 20% of 20%, more if funding follows open interest.
    "upside_setup": 0.08, "top_risk": 0.10, "bottom_zone": 0.10,
    # Beyond the 97th and 3rd percentile twice in a row.
    "extreme_positive_funding": 0.03, "extreme_negative_funding": 0.03,
    # Recorded data: 3.4% for bitcoin and 3.3% for ether.
    "large_liquidations": 0.06,
    "systemic_risk": 0.10,
    # Beyond the 95th and 5th percentile; crowding lasts for days.
    "long_crowded": 0.08, "short_crowded": 0.08,
    # A z-score above 0 that exceeds another by 1.
    "lending_stress": 0.15, "perp_dex_stress": 0.15,
}  # fmt: skip
"""Maximum false-positive rates: the share of asset-days without planted episodes on which a signal may be on."""

DATA_EPISODES: Final[Mapping[Kind, str]] = {
    "outage": "a day missing in ops.coverage",
    "unit_error": "an implausible change",
}
"""Planted data faults that are visible in rows. Late and restated files need fetching over HTTP, which the demo covers."""


@dataclass(frozen=True)
class Detection:
    """Number of planted episodes of a kind that were found on their days and asset, and the seeds of those that were not."""

    kind: Kind
    looked_for: str
    planted: int
    found: int
    missed_seeds: tuple[int, ...]


@dataclass(frozen=True)
class NullRate:
    """Asset-days of null markets on which a signal was on, out of those on which it was known."""

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
    """The result of `evaluate_markets`; `is_sound` if every episode was found and no null rate exceeds its bound."""

    seeds: tuple[int, ...]
    first: date
    last: date
    assets: tuple[str, ...]
    found: tuple[Detection, ...]
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


def evaluate_markets(
    settings: Settings, seeds: Sequence[int], *, first: date, last: date, assets: Sequence[str], progress: Progress
) -> Evaluation:
    """Load a planted and a null market per seed into warehouses below the home of `settings`, build the marts and evaluate them.

    SEEDS_AT_ONCE seeds share a warehouse, which bounds memory. Raises BuildError if dbt fails.
    """
    batches = [seeds[i : i + SEEDS_AT_ONCE] for i in range(0, len(seeds), SEEDS_AT_ONCE)]
    parts = []
    for number, batch in enumerate(batches):
        home = settings.root / f"seeds-{batch[0]}"
        batch_settings = settings.model_copy(update={"home": home})
        prefix = f"{number + 1} of {len(batches)}: " if len(batches) > 1 else ""

        def batch_progress(step: str, done: int, total: int, *, prefix: str = prefix) -> None:
            progress(prefix + step, done, total)

        parts.append(
            _evaluate_batch(
                batch_settings, batch, first=first, last=last, assets=tuple(assets), progress=batch_progress
            )
        )
        shutil.rmtree(home)
    return Evaluation(
        seeds=tuple(seeds), first=first, last=last, assets=tuple(assets),
        found=tuple(_all_found([found for found, _ in parts])), null_rates=tuple(_all_rates([rates for _, rates in parts])),
    )  # fmt: skip


def _evaluate_batch(
    settings: Settings, seeds: Sequence[int], *, first: date, last: date, assets: Sequence[str], progress: Progress
) -> tuple[list[Detection], list[NullRate]]:
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
        for number, part in enumerate(rows(market, Scope(tag=one.tag, captured_days=(last - first).days + 1))):
            part.frame.write_parquet(folder / f"{part.source}~{part.table}~{one.tag}~{number}.parquet")
    _load(settings, folder, first, last, progress)
    build_marts(settings, progress=progress).raise_faults()
    with writer(settings, what="evaluation") as con:
        return list(_found(con, episodes)), _null_rates(con)


def _all_found(parts: Sequence[Sequence[Detection]]) -> Iterator[Detection]:
    for kind, looked_for in {one.kind: one.looked_for for part in parts for one in part}.items():
        matching = [one for part in parts for one in part if one.kind == kind]
        missed = tuple(seed for one in matching for seed in one.missed_seeds)
        yield Detection(
            kind, looked_for, sum(one.planted for one in matching), sum(one.found for one in matching), missed
        )


def _all_rates(parts: Sequence[Sequence[NullRate]]) -> Iterator[NullRate]:
    for signal in sorted({one.signal for part in parts for one in part}):
        matching = [one for part in parts for one in part if one.signal == signal]
        highest = max(one.highest_of_a_seed for one in matching)
        yield NullRate(signal, sum(one.on for one in matching), sum(one.known for one in matching), highest)


def _load(settings: Settings, folder: Path, first: date, last: date, progress: Progress) -> None:
    """Load every source as one landing with the regular loader, but without the gate, whose checks assume a single market."""
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
            frame = pl.read_parquet(file, glob=False)
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
    """Coverage rules of the venue's module: a landed day without liquidations is a day without any."""
    from pipelines.extract.venue import Span
    from pipelines.sources import registry
    from pipelines.sources.instruments import event_rules

    venue_name, _, feed_name = source.partition(".")
    venue = registry.venue(venue_name)
    feed = venue.feed(feed_name)
    spans = [Span.of_days(first, last)]
    return feed.rules(spans) if feed.rules else event_rules(venue, feed, spans)


def _found(con: duckdb.DuckDBPyConnection, episodes: Mapping[str, Sequence[Episode]]) -> Iterator[Detection]:
    planted = pl.DataFrame(
        [
            (e.kind, tag, int(tag[:4]), e.asset + tag, e.venue, e.first_day, e.last_day, e.signal)
            for tag, of_market in episodes.items()
            for e in of_market
            if e.signal is not None or e.kind in DATA_EPISODES
        ],
        schema=["kind", "tag", "seed", "asset", "venue", "first_day", "last_day", "signal"],
        orient="row",
    )
    con.register("planted", planted)
    found = con.sql(
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
        of_kind = found.filter(kind=kind)
        missed = sorted(of_kind.filter(~pl.col("is_found"))["seed"])
        looked_for = SIGNALS.get(kind) or DATA_EPISODES[kind]
        yield Detection(kind, looked_for, of_kind.height, of_kind.height - len(missed), tuple(missed))


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
