"""What the gate takes and gives: a batch to be judged, the outcome of one check, and the type of a gate.

Types only; judging is gate.py, measuring is measures.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.quality.suites import Severity

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check: what was observed, and up to ten offending values or rows."""

    table: str
    check_name: str
    severity: Severity
    passed: bool
    observed: Mapping[str, Any]
    sample: list[Any]


@dataclass(frozen=True)
class GateInput:
    """A batch for one clean table.

    `staged` names the DuckDB table or view with the rows about to be committed: every column of the contract, already
    past NOT NULL and CHECK, deduplicated. The counts are the loader's, in rows.
    """

    table: str
    source: str
    staged: str
    received: int
    accepted: int
    duplicates: int
    quarantined: int


Gate = Callable[["duckdb.DuckDBPyConnection", Sequence[GateInput]], list[CheckResult]]
"""What judges the batches of a load before they are committed."""
