"""Writes stats.signal_estimates: every hypothesis of the seed, as judged at the end of every month. Verdicts are dbt's.

A row is computed again only where something it follows from has changed (its digest), so that one more month costs a month.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

from pipelines.contract.ddl import polars_type
from pipelines.core.progress import Progress, no_progress
from pipelines.evidence.estimates import Estimate, Hypothesis, Sample, estimate
from pipelines.evidence.panel import Panel, instant, month_digests, read_panel
from pipelines.storage.query import transaction

if TYPE_CHECKING:
    import duckdb

METHOD_VERSION: Final = "calendar time and EWC of returns, panel regression with EWC and shifts of risk; 1"
"""Enters every digest: a change of method is a change of this text."""

COLUMNS: Final = (
    "hypothesis_id", "judged_on", "sample", "first_day", "last_day", "days_known", "n_events", "n_days", "n_assets", "effect",
    "se_calendar", "se_ewc", "ewc_terms", "p_calendar", "p_ewc", "p_shift", "p", "ci_low", "ci_high", "ci90_low", "ci90_high",
    "mde", "n_eff", "effect_first_half", "effect_second_half", "effect_bull", "effect_bear", "effect_calm", "effect_storm",
    "placebo_rejection_share", "is_input_missing", "available_at", "input_digest", "method_version",
)  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """A row of the seed, and the last day somebody had looked at when it was written down."""

    hypothesis_id: str
    hypothesis: Hypothesis
    family: str
    seen_through: date | None


@dataclass(frozen=True)
class Estimated:
    """How many rows there are, how many of them were computed now, and the seconds that took."""

    rows: int
    computed: int
    seconds: float


def write_estimates(con: duckdb.DuckDBPyConnection, *, progress: Progress = no_progress) -> Estimated:
    """Bring stats.signal_estimates up to date in one transaction; a kill leaves the rows there were."""
    started = time.monotonic()
    panel = read_panel(con)
    listed = read_hypotheses(con)
    settings = read_thresholds(con)
    months = panel.month_ends() if panel else []
    there = {
        (hypothesis, judged, sample): digest
        for hypothesis, judged, sample, digest in con.execute(
            "select hypothesis_id, judged_on, sample, input_digest from stats.signal_estimates"
        ).fetchall()
    }
    wanted = digests(panel, listed, months, settings) if panel else {}
    missing = {key for key, digest in wanted.items() if there.get(key) != digest}
    rows = list(_compute(panel, listed, months, settings, missing, wanted, progress)) if panel else []
    stale = [key for key in there if wanted.get(key) != there[key]]
    with transaction(con):
        con.execute(
            "delete from stats.signal_estimates where list_contains(?, input_digest)", [[there[key] for key in stale]]
        )
        insert(con, rows)
    return Estimated(rows=len(wanted), computed=len(rows), seconds=time.monotonic() - started)


def insert(con: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Append rows of COLUMNS."""
    import polars as pl

    if not rows:
        return
    types = dict(
        con.execute(
            "select column_name, data_type from duckdb_columns() where database_name = current_database() "
            "and schema_name = 'stats' and table_name = 'signal_estimates'"
        ).fetchall()
    )
    schema = {name: polars_type(types[name]) for name in COLUMNS}
    con.register("estimated", pl.DataFrame(rows, schema=schema, orient="row"))
    con.execute(f"insert into stats.signal_estimates ({', '.join(COLUMNS)}) select {', '.join(COLUMNS)} from estimated")
    con.unregister("estimated")


def read_hypotheses(con: duckdb.DuckDBPyConnection) -> list[Listed]:
    """The seed, in the order of its ids."""
    return [
        Listed(hypothesis_id, Hypothesis(signal, target, horizon, group), family, seen)
        for hypothesis_id, signal, target, horizon, group, family, seen in con.execute(
            "select hypothesis_id, signal, target, horizon_days, asset_group, family, seen_through "
            "from seeds.signal_hypotheses order by hypothesis_id"
        ).fetchall()
    ]


def read_thresholds(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """The numbers of dim_threshold that this step judges by."""
    names = ("evidence_shifts", "evidence_largest_assets", "evidence_days_min", "evidence_event_days_min")
    return {
        name: int(value) for name, value in con.execute(
            f"select name, value from marts.dim_threshold where name in {names}"
        ).fetchall()
    }  # fmt: skip


def digests(
    panel: Panel, listed: Sequence[Listed], months: Sequence[date], settings: dict[str, int]
) -> dict[tuple[str, date, str], str]:
    """What every row that should be there follows from."""
    of_months = month_digests(panel, months)
    found = {}
    for one in listed:
        # A signal that nobody knew yet has states of its own when it first is known.
        states = of_months.get(one.hypothesis.signal, {})
        for month in months:
            for sample in ("record", "unseen") if one.seen_through else ("record",):
                text = "\0".join([
                    METHOD_VERSION, one.hypothesis_id, repr(one.hypothesis), one.family, str(one.seen_through), sample, str(month),
                    repr(sorted(settings.items())), of_months[""][month], states.get(month, ""),
                ])  # fmt: skip
                found[one.hypothesis_id, month, sample] = hashlib.sha256(text.encode()).hexdigest()[:20]
    return found


def _compute(
    panel: Panel, listed: Sequence[Listed], months: Sequence[date], settings: dict[str, int],
    missing: set[tuple[str, date, str]], wanted: dict[tuple[str, date, str], str], progress: Progress,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    todo = [month for month in months if any(key[1] == month for key in missing)]
    for done, month in enumerate(todo):
        progress("estimate", done, len(todo))
        for one, sample, found, known in judge(panel, listed, month, settings, {k for k in missing if k[1] == month}):
            yield row(panel, one, month, sample, found, known, wanted[one.hypothesis_id, month, sample])


def judge(
    panel: Panel, listed: Sequence[Listed], month: date, settings: dict[str, int], missing: set[tuple[str, date, str]]
) -> Iterator[tuple[Listed, str, Estimate, int]]:
    """Estimates of the hypotheses as of a day, those of `missing`; with each the available_at of what it rests on."""
    cut = panel.cut(month)
    sample = Sample(cut, largest=settings["evidence_largest_assets"])
    regimes = sample.regimes()
    for one in listed:
        for name in ("record", "unseen"):
            if (one.hypothesis_id, month, name) not in missing:
                continue
            start = cut.index(one.seen_through + timedelta(days=1)) if name == "unseen" and one.seen_through else 0
            # A return is judged by its errors alone; shifts say whether they are honest, and one horizon is enough for that.
            is_risk = not one.hypothesis.target.endswith("return")
            enough = cut.days - max(start, 0) >= settings["evidence_days_min"]
            count = (
                settings["evidence_shifts"]
                if enough and (is_risk or (one.family == "primary" and name == "record"))
                else 0
            )
            found = estimate(sample, one.hypothesis, start=max(start, 0), count_shifts=count, regimes=regimes)
            yield one, name, found, int(cut.available[-1])


def row(
    panel: Panel, one: Listed, month: date, sample: str, found: Estimate, available: int, digest: str
) -> tuple[Any, ...]:
    """One row of stats.signal_estimates."""
    values = asdict(found)
    first, last = values.pop("first"), values.pop("last")
    values |= {
        "hypothesis_id": one.hypothesis_id, "judged_on": month, "sample": sample,
        "first_day": None if first is None else panel.first + timedelta(days=first),
        "last_day": None if last is None else panel.first + timedelta(days=last),
        "is_input_missing": found.days_known == 0,
        "available_at": instant(available), "input_digest": digest, "method_version": METHOD_VERSION,
    }  # fmt: skip
    return tuple(values[name] for name in COLUMNS)
