"""The report of the demo: rows per layer, planted against found episodes, check results, example queries.

Reads the published file only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape

from pipelines.cli.report import print_missing, print_refused, published
from pipelines.cli.screen import Screen, plain
from pipelines.cli.session import Session

if TYPE_CHECKING:
    import duckdb

    from pipelines.sandbox.market import SimulatedMarket
    from pipelines.sandbox.market_episodes import Episode

SIMULATED: Final = (
    "All of this is SIMULATED: prices, positions and venues are generated from a seed. None of it happened on a market."
)

TRY: Final = (
    "select asset, trade_date, signal, value, threshold from marts.signals_daily where state = 'on' order by trade_date desc",
    "select started_at, asset, notional_usd, price_move, reversal_1h from marts.liquidation_cascades order by 3 desc limit 10",
    "select venue, table_name, primary_reason, count(*) from marts.data_coverage_daily where status <> 'complete' group by all",
)


@dataclass(frozen=True)
class EpisodeResult:
    """One planted episode and what the warehouse shows for its days. `message` describes what was found instead."""

    kind: str
    asset: str
    first_day: date
    last_day: date
    expected: str
    found: bool
    on_days: Sequence[date]
    message: str


def find_episodes(con: duckdb.DuckDBPyConnection, market: SimulatedMarket) -> list[EpisodeResult]:
    """Look for every planted episode: a signal that is on, a coverage gap, an implausible change, or two versions of a
    landing."""
    found = []
    for episode in market.episodes:
        if episode.signal is not None:
            found.append(_signal(con, episode, episode.signal))
        elif episode.kind == "outage":
            found.append(_gap(con, episode))
        elif episode.kind == "unit_error":
            found.append(_implausible(con, episode))
        else:
            found.append(_versions(con, episode, market))
    return found


def _signal(con: duckdb.DuckDBPyConnection, episode: Episode, signal: str) -> EpisodeResult:
    rows = con.execute(
        "select trade_date, state, unknown_reason from marts.signals_daily "
        "where asset = ? and signal = ? and trade_date between ? and ? order by trade_date",
        [episode.asset, signal, episode.first_day, episode.last_day],
    ).fetchall()
    on = [day for day, state, _ in rows if state == "on"]
    others = sorted({f"{state}: {reason}" if reason else state for _, state, reason in rows}) or ["no row"]
    return EpisodeResult(
        episode.kind, episode.asset, episode.first_day, episode.last_day, f"signal {signal}", bool(on), on,
        "on" if on else ", ".join(others),
    )  # fmt: skip


def _gap(con: duckdb.DuckDBPyConnection, episode: Episode) -> EpisodeResult:
    rows = con.execute(
        "select trade_date, table_name || ': ' || status || coalesce(', ' || primary_reason, '') "
        "from marts.data_coverage_daily where venue = ? and trade_date between ? and ? "
        "and status not in ('complete', 'empty') and primary_reason is not null order by all",
        [episode.venue, episode.first_day, episode.last_day],
    ).fetchall()
    return EpisodeResult(
        episode.kind, episode.venue or episode.asset, episode.first_day, episode.last_day, "gap with a reason", bool(rows),
        sorted({day for day, _ in rows}), "; ".join(sorted({text for _, text in rows})) or "no gap",
    )  # fmt: skip


def _implausible(con: duckdb.DuckDBPyConnection, episode: Episode) -> EpisodeResult:
    """A change of open interest by more than the volume, of an instrument of the asset; and the failed checks of the gate."""
    rows = con.execute(
        "select p.trade_date, p.worst_instrument || ' changed by ' || cast(round(p.worst_change_to_volume) as bigint) "
        "|| ' times its volume' from marts.oi_plausibility_daily as p "
        "join marts.dim_instrument as i on i.venue = p.venue and i.instrument = p.worst_instrument "
        "where p.venue = ? and p.trade_date between ? and ? and p.violations > 0 and i.asset = ? order by all",
        [episode.venue, episode.first_day, episode.last_day, episode.asset],
    ).fetchall()
    checks = con.execute(
        "select distinct check_name from ops.check_results "
        "where not passed and table_name = 'open_interest' and starts_with(source, ?) order by 1",
        [f"{episode.venue}."],
    ).fetchall()
    messages = [text for _, text in rows] + [f"gate: {name}" for (name,) in checks]
    return EpisodeResult(
        episode.kind, f"{episode.venue} {episode.asset}", episode.first_day, episode.last_day, "implausible change",
        bool(rows and checks), sorted({day for day, _ in rows}), "; ".join(messages) or "nothing",
    )  # fmt: skip


def _versions(con: duckdb.DuckDBPyConnection, episode: Episode, market: SimulatedMarket) -> EpisodeResult:
    """A day that was landed twice: first without and then with its file, or with a file that was replaced later. The mart
    must have the values of the second landing."""
    from pipelines.sandbox.market_model import Listing

    landed = con.execute(
        "select completeness from ops.landings where starts_with(source, ?) and partition = ? order by version",
        [f"{episode.venue}_archive.", str(episode.first_day)],
    ).fetchall()
    versions = [completeness for (completeness,) in landed]
    first = "complete" if episode.kind == "restated" else "partial"
    held = con.execute(
        "select oi_base from marts.fct_open_interest_daily where venue = ? and asset = ? and trade_date = ?",
        [episode.venue, episode.asset, episode.first_day],
    ).fetchall()
    listing = Listing(episode.venue or "", f"{episode.asset}USDT", episode.asset)
    [true] = market.open_interest(listing, 1440, episode.end, episode.end + timedelta(days=1))["oi_base"]
    is_true = len(held) == 1 and held[0][0] is not None and math.isclose(held[0][0], true, rel_tol=1e-9)
    message = f"landed {', then '.join(versions) or 'never'}; the mart has {'the last' if is_true else 'other values'}"
    return EpisodeResult(
        episode.kind, f"{episode.venue} {episode.asset}", episode.first_day, episode.last_day, "two landings, the last in the mart",
        versions == [first, "complete"] and is_true, [episode.first_day], message,
    )  # fmt: skip


def signal_counts(con: duckdb.DuckDBPyConnection) -> list[Mapping[str, Any]]:
    """Counts of on, off and unknown by signal, over all assets and days."""
    rows = con.execute(
        "select signal, count(*) filter (state = 'on'), count(*) filter (state = 'off'), "
        "count(*) filter (state = 'unknown') from marts.signals_daily group by signal order by signal"
    ).fetchall()
    return [dict(zip(("signal", "on", "off", "unknown"), row, strict=True)) for row in rows]


def findings(con: duckdb.DuckDBPyConnection) -> list[Mapping[str, Any]]:
    """Failed checks of the gate, and days on which sources of the same fact disagree."""
    gate = con.execute(
        "select source, table_name, check_name, severity, count(*) from ops.check_results where not passed "
        "group by all order by all"
    ).fetchall()
    disagreements = con.execute(
        "select table_name, venue, count(*) from marts.source_disagreements_daily where not is_within_tolerance "
        "group by all order by all"
    ).fetchall()
    return [
        *({"by": "gate", "of": source, "says": f"{table}.{check} ({severity})", "times": times}
          for source, table, check, severity, times in gate),
        *({"by": "source_disagreements_daily", "of": venue, "says": f"sources of {table} disagree", "times": times}
          for table, venue, times in disagreements),
    ]  # fmt: skip


def layers(con: duckdb.DuckDBPyConnection) -> list[Mapping[str, Any]]:
    """Contents of each layer."""
    landed = con.execute("select count(*), sum(bytes) from ops.landings").fetchall()[0]
    loaded = con.execute(
        "select sum(received), sum(accepted), sum(duplicates), sum(quarantined) from ops.loads"
    ).fetchall()[0]
    marts = con.execute(
        "select count(*), sum(estimated_size) from duckdb_tables() where schema_name = 'marts'"
    ).fetchall()[0]
    return [
        {"layer": "landing", "holds": f"{landed[0]:,} packs, {(landed[1] or 0) / 1e6:,.1f} MB", "rows": None},
        {"layer": "received", "holds": f"{loaded[2] or 0:,} duplicates", "rows": loaded[0]},
        {"layer": "clean", "holds": f"{loaded[3] or 0:,} rows in quarantine", "rows": loaded[1]},
        {"layer": "marts", "holds": f"{marts[0]} tables", "rows": marts[1]},
    ]


def print_demo(
    screen: Screen, session: Session, market: SimulatedMarket | None, *, first: date, last: date, as_json: bool
) -> None:
    """Print the report; `market` is the simulated market, None for real venues."""
    from pipelines.storage.warehouse import reader

    record, settings = session.record, session.settings
    status = published(session) if record.publication else None
    evaluation: list[EpisodeResult] = []
    signals: list[Mapping[str, Any]] = []
    held: list[Mapping[str, Any]] = []
    quality: list[Mapping[str, Any]] = []
    if record.publication:
        with reader(settings) as con:
            evaluation = find_episodes(con, market) if market else []
            signals, held, quality = signal_counts(con), layers(con), findings(con)
    warnings = [node.name for node in record.build.nodes if node.status == "warn"] if record.build else []
    faults = [node.name for node in record.build.faults] if record.build else []
    if as_json:
        screen.json(
            {
                "simulated": market is not None,
                "note": SIMULATED if market else None,
                "seed": market.seed if market else None,
                "first_day": first,
                "last_day": last,
                "runs": [{"job": r.job, "succeeded": r.succeeded, "error": str(r.error or "") or None} for r in session.runs],
                "layers": held,
                "evaluation": [plain(one) for one in evaluation],
                "signals": signals,
                "refused": [plain(row) for row in status.refused] if status else None,
                "missing": [plain(row) for row in status.missing] if status else None,
                "quality": quality,
                "warnings": warnings,
                "faults": faults,
                "published": record.publication.database if record.publication else None,
                "report": record.report.index if record.report else None,
                "home": settings.root,
                "queries": list(TRY),
            }
        )  # fmt: skip
        return
    screen.table("Layers", held)
    if market:
        rows = [
            {"planted": t.kind, "in": t.asset, "from": t.first_day, "to": t.last_day, "expected": t.expected,
             "result": "found" if t.found else "NOT FOUND",
             "how": ", ".join(map(str, t.on_days)) if t.message == "on" else t.message}
            for t in evaluation
        ]  # fmt: skip
        screen.table("Planted and found", rows, empty="nothing is planted in so few days; 120 days contain everything")
    screen.table("Signals: days over all assets", signals)
    if status:
        print_refused(screen, status)
        print_missing(screen, status)
    screen.table("Quality findings", quality, empty="none")
    checks = [
        {"check": name, "result": result}
        for result, names in (("warning", warnings), ("failed", faults))
        for name in names
    ]
    screen.table("dbt warnings and failures", checks, empty="none")
    if record.publication:
        screen.out.print(
            escape(
                f"Files: {record.publication.database}, Parquet in {record.publication.parquet}, everything in {settings.root}"
            ).replace("Files", "[bold]Files[/bold]", 1)
        )
        screen.out.print("[bold]Try[/bold]:")
        for query in TRY:
            screen.out.print(
                f'  LEVERHOUSE_HOME="{settings.root}" leverhouse sql "{query}"', markup=False, soft_wrap=True
            )
    if market:
        screen.out.print(f"[bold yellow]{SIMULATED}[/bold yellow]")
    if record.report:
        screen.out.print(f"Report: open {record.report.index} in a browser", markup=False, soft_wrap=True)
