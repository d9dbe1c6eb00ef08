"""Input and output types of the gate: a batch, the result of one check, and the gate function.

Types only; gate.py runs the checks, measures.py computes their inputs.
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
    """Result of one check: what was observed, and up to ten offending values or rows; `cause` is what probably is wrong, where
    it could be told."""

    table: str
    check_name: str
    severity: Severity
    passed: bool
    observed: Mapping[str, Any]
    sample: list[Any]
    cause: str | None = None


@dataclass(frozen=True)
class GateInput:
    """A batch for one clean table.

    `staged` names the DuckDB table or view with the rows to be committed: every column of the contract, NOT NULL and CHECK
    satisfied, deduplicated. The counts are the loader's row counts.
    """

    table: str
    source: str
    staged: str
    received: int
    accepted: int
    duplicates: int
    quarantined: int
    distrusted: int = 0
    """Of the quarantined rows, those that the source's mapping or module distrusts on purpose: no sign of a misread format."""


Gate = Callable[["duckdb.DuckDBPyConnection", Sequence[GateInput]], list[CheckResult]]
"""Checks the batches of a load before they are committed."""
