"""Writes the report beside the published file: a folder of static pages, put in its place by one rename.

    published/report            link to the newest published/report-<n>
    published/report-<n>        pages, library, data; never changed once it is linked

A reader sees the old report or the new one, never half of each.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from filelock import FileLock, Timeout

from pipelines.core.errors import WarehouseBusyError
from pipelines.core.files import show_tree, sync
from pipelines.core.home_kind import is_simulated
from pipelines.core.settings import Settings
from pipelines.report import layers
from pipelines.report.encode import numbers, script, slug, words
from pipelines.report.gather import NO_KEY, AssetData, gather, rows_of, spans_of, tables_of
from pipelines.report.pages import LIBRARY, STATIC, render_pages
from pipelines.report.trust import trust_data
from pipelines.report.views import SLOT, VIEWS, board_sql
from pipelines.storage.warehouse import reader

LINK: Final = "report"
MAP_DAYS: Final = 365
"""Days of the market page."""

SPARK_DAYS: Final = 60

ON_MARKET_PAGE: Final = ("price", "funding")
"""Datasets of every asset that the market page draws; the others are dropped once their asset is written."""

HEAT_COLUMNS: Final = {
    "notional_usd": "number",
    "long_usd": "number",
    "short_usd": "number",
    "is_dense": "word",
    "input_grain": "word",
}
LEVEL_COLUMNS: Final = {"expected_usd": "number", "side": "word"}

SCORECARD: Final = "marts.signal_scorecard_latest"
SKILL: Final = "marts.liquidation_levels_skill_daily"


@dataclass(frozen=True)
class Report:
    """What was written: the first page to open, bytes, number of assets and files, seconds."""

    index: Path
    assets: int
    files: int
    bytes: int
    seconds: float


def write_report(settings: Settings, *, progress: Callable[[str, int, int], None] | None = None) -> Report:
    """Write the pages of the published file into its folder and put them in the place of those before.

    Raises ConfigError where nothing is published, WarehouseBusyError where another process writes the report for too long;
    pages that are there already are then untouched.
    """
    started = time.monotonic()
    folder = settings.published_dir
    token = secrets.token_hex(6)
    with reader(settings) as con, _lock(settings):
        _remove_leftovers(folder)
        target = folder / f"{LINK}-{token}"
        target.mkdir()
        try:
            assets = _write(con, target, token, simulated=is_simulated(settings.root), progress=progress)
            show_tree(target)
            files = [path for path in target.rglob("*") if path.is_file()]
            for path in (*files, *(path for path in target.rglob("*") if path.is_dir()), target):
                sync(path)
            _swap(folder / LINK, target)
            sync(folder)
        except BaseException:
            if not _is_linked(folder / LINK, target):
                shutil.rmtree(target, ignore_errors=True)
            raise
        _remove_leftovers(folder)
    return Report(
        index=folder / LINK / "index.html",
        assets=assets,
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        seconds=time.monotonic() - started,
    )


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """The one writer of the report; readers of the published file and the writer of the warehouse are not kept waiting."""
    lock = FileLock(settings.root / "report.lock")
    try:
        lock.acquire(timeout=settings.lock_timeout_seconds)
    except Timeout as error:
        raise WarehouseBusyError(
            f"report: another process writes it; waited {settings.lock_timeout_seconds:g} s. Wait for it to end."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write(
    con: duckdb.DuckDBPyConnection,
    target: Path,
    build: str,
    *,
    simulated: bool,
    progress: Callable[[str, int, int], None] | None,
) -> int:
    tables = tables_of(con)
    spans = spans_of(con, tables)
    every_heat = layers.Bins(con, layers.HEAT_SQL, spans) if layers.HEATMAP in tables else None
    every_level = layers.Bins(con, layers.LEVELS_SQL, spans) if layers.LEVELS in tables else None
    chains = layers.chains(con, tables)
    vintages = layers.vintages(con, tables, spans)
    data = target / "data"
    data.mkdir()
    index = []
    shared = {}
    for done, (asset, held) in enumerate(gather(con, tables, spans)):
        if progress:
            progress(f"report {asset}", done, len(spans))
        name = slug(asset)
        heat = every_heat.of(asset) if every_heat else None
        levels = every_level.of(asset) if every_level else None
        years = []
        for year, begin, end in held.span.years():
            content = {
                "start": _day(held, begin), "n": end - begin, "d": held.encoded(begin, end),
                "heat": layers.encode_bins(heat, begin, end, HEAT_COLUMNS) if heat is not None else None,
            }  # fmt: skip
            _put(data, f"{name}-{year}", build, content)
            years.append(year)
            if levels is not None:
                cells = layers.encode_bins(levels, begin, end, LEVEL_COLUMNS)
                _put(data, f"{name}-{year}-levels", build, {"levels": cells})
        if asset in chains:
            _put(data, f"{name}-options", build, chains[asset])
        if asset in vintages:
            _put(data, f"{name}-history", build, vintages[asset])
        index.append(
            {
                "asset": asset, "slug": name, "years": years, "first": str(held.span.first), "last": str(held.span.last),
                "options": asset in chains, "levels": levels is not None, "history": asset in vintages,
                "scale": layers.scale(heat) if heat is not None else None,
                "tops": layers.tops(levels, held.span, "expected_usd") if levels is not None else {},
            }
        )  # fmt: skip
        shared[asset] = held.only(ON_MARKET_PAGE)
    _put(data, "market", build, _market(con, tables, shared, index, simulated=simulated))
    _put(data, "trust", build, trust_data(con, tables))
    render_pages(target, build=build, simulated=simulated, assets=index, tables=tables)
    shutil.copytree(STATIC / "app", target / "app")
    shutil.copytree(LIBRARY, target / "lib" / LIBRARY.name)
    shutil.copy(STATIC / "style.css", target / "style.css")
    return len(spans)


def _market(
    con: duckdb.DuckDBPyConnection,
    tables: frozenset[str],
    assets: Mapping[str, AssetData],
    index: list[dict[str, Any]],
    *,
    simulated: bool,
) -> dict[str, Any]:
    """What every page reads first: what there is, how it is called, and the market page's own numbers."""
    published = rows_of(con, "select * from meta.publication")[0] if "meta.publication" in tables else {}
    views = {view.name: view.described(tables) for view in VIEWS}
    views["board"]["sql"] = board_sql(tables)
    board = [] if views["board"]["missing"] else rows_of(con, board_sql(tables))
    last = max((held.span.last for held in assets.values()), default=None)
    return {
        "published_at": published.get("published_at"),
        "simulated": simulated,
        "last": str(last) if last else None,
        "assets": index,
        "venues": _venues(con, tables),
        "thresholds": _thresholds(con, tables),
        "views": views,
        "board": board,
        "spark": {asset: _spark(held) for asset, held in assets.items()},
        "funding": _funding_map(assets),
        "signals": rows_of(con, "select signal, title, direction, horizon, condition_description from marts.dim_signal "
                                "order by title") if "marts.dim_signal" in tables else [],
        "signalmap": rows_of(con, _view_sql("signalmap")) if not views["signalmap"]["missing"] else [],
        "scorecard": _scorecard(con, tables),
        "skill": _skill(con, tables),
        "publications": layers.publications(con, tables),
        "slot": SLOT,
    }  # fmt: skip


def _venues(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> list[str]:
    """Venues in the order that gives each its color, on every page and for every asset."""
    if "marts.dim_venue" not in tables:
        return []
    sql = "select venue from marts.dim_venue where venue_kind <> 'lending' order by price_rank nulls last, venue"
    return [venue for (venue,) in con.execute(sql).fetchall()]


def _thresholds(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> dict[str, float]:
    if "marts.dim_threshold" not in tables:
        return {}
    return dict(con.execute("select name, value from marts.dim_threshold order by name").fetchall())


def _scorecard(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> list[dict[str, Any]]:
    """Effect, interval and verdict of each signal's primary hypothesis; empty where nothing is scored yet."""
    if SCORECARD not in tables:
        return []
    return rows_of(
        con,
        "select signal, target, horizon_days, effect, ci_low, ci_high, n_events, verdict, verdict_reason "
        f"from {SCORECARD} where family = 'primary' order by signal, horizon_days",
    )


def _skill(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> list[dict[str, Any]]:
    """The newest skill of the predicted levels, by asset and side."""
    if SKILL not in tables:
        return []
    return rows_of(
        con,
        f"select asset, side, trade_date, skill_180d_vs_distance, skill_low, skill_high, skill_days, verdict from {SKILL} "
        "qualify row_number() over (partition by asset, side order by trade_date desc) = 1 order by asset, side",
    )


def _spark(held: AssetData) -> Any:
    series = held.series.get("price", {}).get(NO_KEY)
    return numbers(series.numbers["close_usd"][-SPARK_DAYS:]) if series else None


def _funding_map(assets: Mapping[str, AssetData]) -> dict[str, Any]:
    """Funding of all assets on the last MAP_DAYS days that any of them has."""
    held = {asset: one for asset, one in assets.items() if "funding" in one.series}
    if not held:
        return {"start": None, "n": 0, "assets": []}
    end = max(one.span.last for one in held.values())
    begin = max(min(one.span.first for one in held.values()).toordinal(), end.toordinal() - MAP_DAYS + 1)
    days = end.toordinal() - begin + 1
    rows = []
    for asset, one in held.items():
        series = one.series["funding"][NO_KEY]
        offset = one.span.first.toordinal() - begin
        rate = np.full(days, np.nan)
        regime: list[str | None] = [None] * days
        for day in range(max(0, -offset), min(one.span.days, days - offset)):
            rate[day + offset] = series.numbers["excess_apr"][day]
            regime[day + offset] = series.words["regime"][day]
        if np.isfinite(rate).any():
            rows.append({"asset": asset, "excess_apr": numbers(rate), "regime": words(regime)})
    return {"start": str(end.fromordinal(begin)), "n": days, "assets": rows}


def _view_sql(name: str) -> str:
    return next(view.sql for view in VIEWS if view.name == name)


def _day(held: AssetData, offset: int) -> str:
    return str(held.span.first.fromordinal(held.span.first.toordinal() + offset))


def _put(folder: Path, key: str, build: str, value: Mapping[str, Any]) -> None:
    (folder / f"{key}.js").write_bytes(script(key, build, value))


def _swap(link: Path, target: Path) -> None:
    # Not the name that publishing gives its own link and cleans up.
    temporary = link.with_name(f".{secrets.token_hex(6)}.report")
    temporary.symlink_to(target.name, target_is_directory=True)
    temporary.replace(link)


def _is_linked(link: Path, target: Path) -> bool:
    return link.is_symlink() and link.readlink().name == target.name


def _remove_leftovers(folder: Path) -> None:
    """What a killed writer left, and reports older than the one before the present: a page that is open may still ask that one
    for a year."""
    for stray in folder.glob(".*.report"):
        stray.unlink()
    link = folder / LINK
    present = link.readlink().name if link.is_symlink() else None
    older = sorted(
        (path for path in folder.glob(f"{LINK}-*") if path.is_dir() and path.name != present),
        key=lambda path: path.stat().st_mtime,
    )
    for stale in older[:-1]:
        shutil.rmtree(stale)


def code_digest() -> str:
    """Digest of everything that decides how a picture looks: templates, scripts, styles, library."""
    digest = hashlib.sha256()
    for path in sorted(path for path in STATIC.parent.rglob("*") if path.suffix in {".js", ".css", ".j2"}):
        digest.update(f"\0{path.relative_to(STATIC.parent).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
