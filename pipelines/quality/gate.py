"""The quality gate of a load: runs the Great Expectations suites over batches before they are committed.

suites.py defines the expectations, profiles.py what is measured for them. No Dagster; opens no database. The caller refuses
the load if a check of severity error failed.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from pipelines.core.errors import ContractError, PermanentError
from pipelines.quality import measures
from pipelines.quality.batch import CheckResult, GateInput
from pipelines.quality.suites import SUITES, Check, Frame, Severity

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

SAMPLES: Final = 10
"""Offending values or rows kept per failed check."""

_GX_SEVERITY: Final[Mapping[Severity, str]] = {"error": "critical", "warn": "warning"}


class GateBrokenError(PermanentError):
    """Great Expectations could not evaluate a check; the batch may be correct."""

    exit_code = 70


def run_gate(con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
    """Run every suite of a load and return one result per check, including failed checks.

    If the shape checks of a batch fail, only they are reported, because nothing else can be measured. Raises GateBrokenError
    if Great Expectations cannot evaluate a check, ContractError for a table or relation that does not exist; neither is
    reported as a failed check.
    """
    if not inputs:
        return []
    unknown = sorted({given.table for given in inputs} - set(SUITES))
    if unknown:
        raise ContractError(
            f"{inputs[0].source}: no suite for clean table {', '.join(unknown)}; add it to pipelines/quality/suites.py."
        )
    with _quiet():
        runner = _runner()
        results = {batch.table: runner.run(batch, "shape", measures.shape_frame(con, batch)) for batch in inputs}
        well_formed = [batch for batch in inputs if all(result.passed for result in results[batch.table])]
        staged_tables = {batch.table: batch.staged for batch in well_formed}
        for batch in well_formed:
            for frame, rows in measures.frames(con, batch, staged_tables=staged_tables).items():
                results[batch.table] += runner.run(batch, frame, rows)
    return [result for batch in inputs for result in results[batch.table]]


@cache
def _runner() -> _Runner:
    """The runner of this process, cached: creating its context takes as long as a batch, and it keeps no state of one."""
    return _Runner()


class _Runner:
    """One ephemeral Great Expectations context that validates pandas frames."""

    def __init__(self) -> None:
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        self._gx: ModuleType = gx
        # Analytics are disabled in the configuration, so that nothing is sent before a setter could be called.
        context = gx.get_context(
            mode="ephemeral",
            project_config=DataContextConfig(
                analytics_enabled=False,
                progress_bars=ProgressBarsConfig(globally=False),
                store_backend_defaults=InMemoryStoreBackendDefaults(),
            ),
        )
        asset = context.data_sources.add_pandas("gate").add_dataframe_asset("batch")
        self._definition = asset.add_batch_definition_whole_dataframe("whole")

    def run(self, batch: GateInput, frame: Frame, rows: pd.DataFrame) -> list[CheckResult]:
        """Results of the checks of one frame, in the order of the suite."""
        checks = {check.name: check for check in SUITES[batch.table] if check.frame == frame}
        results = {name: _passed(batch.table, check, rows) for name, check in checks.items() if _is_empty(check, rows)}
        remaining = [check for name, check in checks.items() if name not in results]
        for check, result in self._validate(batch, f"{batch.table}.{frame}", rows, remaining):
            results[check.name] = _result(batch.table, check, rows, result)
        return [results[name] for name in checks]

    def _validate(
        self, batch: GateInput, name: str, rows: pd.DataFrame, checks: Sequence[Check]
    ) -> Iterator[tuple[Check, Any]]:
        if not checks:
            return
        by_name = {check.name: check for check in checks}
        suite = self._gx.ExpectationSuite(
            name=name,
            expectations=[
                getattr(self._gx.expectations, check.expectation)(
                    **check.kwargs, severity=_GX_SEVERITY[check.severity], meta={"check": check.name}
                )
                for check in checks
            ],
        )
        gx_batch = self._definition.get_batch(batch_parameters={"dataframe": rows})
        # SUMMARY is the smallest format that reports which rows were unexpected.
        outcome = gx_batch.validate(
            suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": SAMPLES}
        )
        for result in outcome.results:
            check = by_name.pop(result.expectation_config.meta["check"])
            fault = _fault(result.exception_info)
            if fault is not None:
                raise GateBrokenError(
                    f"{batch.source}: Great Expectations could not evaluate {batch.table}.{check.name} ({fault}). "
                    "The batch was not checked and nothing was committed; correct the check in pipelines/quality."
                )
            yield check, result
        if by_name:
            raise GateBrokenError(
                f"{batch.source}: Great Expectations returned no result for {batch.table}: {', '.join(by_name)}. "
                "The batch was not checked and nothing was committed; correct the suite in pipelines/quality."
            )


def _is_empty(check: Check, rows: pd.DataFrame) -> bool:
    """Whether the column has no value to check (no loaded neighbors, no other source); it would have no maximum."""
    column = check.kwargs.get("column")
    return column in rows.columns and not bool(rows[column].notna().any())


def _passed(table: str, check: Check, rows: pd.DataFrame) -> CheckResult:
    observed = {"rows": len(rows), "judged": 0, "unexpected": 0}
    return CheckResult(table, check.name, check.severity, passed=True, observed=observed, sample=[])


def _result(table: str, check: Check, rows: pd.DataFrame, result: Any) -> CheckResult:
    details = result.result
    passed = bool(result.success)
    column = check.kwargs.get("column")
    observed: dict[str, Any] = {"rows": len(rows)}
    index: Sequence[Any] = []
    if "element_count" in details:
        observed["judged"] = details["element_count"] - details.get("missing_count", 0)
        observed["unexpected"] = details["unexpected_count"]
        index = details["partial_unexpected_index_list"]
    elif column is not None:
        outside = _outside(check, rows[column])
        observed["judged"] = int(rows[column].notna().sum())
        observed["unexpected"] = len(outside)
        index = outside[:SAMPLES]
    else:
        observed["judged"] = observed["unexpected"] = len(rows)
        index = range(min(len(rows), SAMPLES))
    if column is not None and rows[column].dtype.kind == "f":
        observed |= {"lowest": _plain(rows[column].min()), "highest": _plain(rows[column].max())}
    observed |= {
        key: check.kwargs[key] for key in ("min_value", "max_value", "mostly") if check.kwargs.get(key) is not None
    }
    checked = [check.kwargs[key] for key in ("column", "column_A", "column_B") if key in check.kwargs]
    shown = list(dict.fromkeys([*measures.identity(table, check.frame), *checked])) or list(rows.columns)
    why = f"why_{column}"
    cause = str(rows.at[index[0], why]) if not passed and len(index) and why in rows.columns else None
    sample = [] if passed else [{name: _plain(rows.at[label, name]) for name in shown} for label in index]
    return CheckResult(table, check.name, check.severity, passed, observed, sample, cause)


def _outside(check: Check, values: pd.Series) -> list[Any]:
    """Index of the values outside the limits of a maximum or minimum check, the worst first."""
    high, low = check.kwargs.get("max_value"), check.kwargs.get("min_value")
    if high is not None:
        outside = values[values >= high if check.kwargs["strict_max"] else values > high]
    else:
        outside = values[values <= low if check.kwargs["strict_min"] else values < low]
    return list(outside.sort_values(ascending=low is not None, kind="stable").index)


def _fault(info: Mapping[str, Any]) -> str | None:
    """The error inside Great Expectations, or None.

    It is reported as {"raised_exception": True, …}, or as one such mapping per failed metric.
    """
    parts = [info] if "raised_exception" in info else list(info.values())
    for part in parts:
        if isinstance(part, Mapping) and part.get("raised_exception"):
            return str(part.get("exception_message") or "no message")
    return None


def _plain(value: Any) -> Any:
    """A value of a frame as a JSON value."""
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the logging of Great Expectations: its errors are in the results and are raised."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            # Importing 1.24 imports sre_constants and sre_parse, deprecated since Python 3.11.
            warnings.filterwarnings("ignore", message=r"module 'sre_\w+' is deprecated", category=DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
