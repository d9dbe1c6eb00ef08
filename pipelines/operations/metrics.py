"""The state of a home in numbers, as a file in the OpenMetrics text format: for a textfile collector, or whoever reads files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipelines.core.files import write_atomically
from pipelines.core.settings import Settings
from pipelines.operations.alerts import Alert, State
from pipelines.operations.sizes import Measured
from pipelines.operations.watch import Published

FILE: Final = "metrics.prom"


@dataclass(frozen=True)
class Family:
    """Samples of one gauge: labels and value."""

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]] = field(default=())


def families(
    state: State,
    published: Published,
    open_alerts: Iterable[Alert],
    sizes: Measured | None,
    runs: Mapping[tuple[str, str], int],
) -> Iterator[Family]:
    """Every family; `runs` counts the recent runs by job and status."""
    by_kind: dict[str, int] = {}
    for alert in open_alerts:
        by_kind[alert.kind] = by_kind.get(alert.kind, 0) + 1
    labels = [({"source": str(row["source"]), "table": str(row["table_name"])}, row) for row in published.sources]
    yield Family("leverhouse_rows", "Accepted rows.", [(name, row["rows_accepted"]) for name, row in labels])
    yield Family(
        "leverhouse_quarantined_rows", "Rows in quarantine.", [(name, row["rows_quarantined"]) for name, row in labels]
    )
    yield Family(
        "leverhouse_lag_days", "Days behind the newest day of the warehouse.",
        [(name, row["lag_days"]) for name, row in labels if row["lag_days"] is not None],
    )  # fmt: skip
    yield Family(
        "leverhouse_fetch_problems", "Answers of venues that were not taken, by what helped.",
        [({"effect": str(row["effect"])}, row["problems"]) for row in published.problems],
    )  # fmt: skip
    yield Family("leverhouse_refused_landings", "Landings that are not loaded.", [({}, len(state.refused))])
    yield Family(
        "leverhouse_alerts", "Open alerts by kind.", [({"kind": kind}, n) for kind, n in sorted(by_kind.items())]
    )
    yield Family(
        "leverhouse_runs", "Recent runs by job and status.",
        [({"job": job, "status": status}, n) for (job, status), n in sorted(runs.items())],
    )  # fmt: skip
    if state.free_bytes is not None:
        yield Family("leverhouse_free_bytes", "Free bytes of the disk.", [({}, state.free_bytes)])
    if sizes is not None:
        yield Family(
            "leverhouse_bytes", "Bytes of the home by part.", [({"part": k}, v) for k, v in sorted(sizes.parts.items())]
        )


def render(found: Iterable[Family]) -> str:
    """OpenMetrics text."""
    lines = []
    for family in found:
        lines += [f"# TYPE {family.name} gauge", f"# HELP {family.name} {_escaped(family.help)}"]
        for labels, value in family.samples:
            named = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
            lines.append(f"{family.name}{{{named}}} {value}" if named else f"{family.name} {value}")
    return "\n".join([*lines, "# EOF", ""])


def write_metrics(settings: Settings, found: Iterable[Family]) -> Path:
    """Write the file; a reader sees the old one or the new one."""
    target = settings.root / FILE
    write_atomically(target, render(found).encode())
    return target


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
