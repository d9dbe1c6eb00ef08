"""The gate of every load: runs the Great Expectations suites over batches that are about to be committed.

Expectations are data in suites.py, what they judge is measured in profiles.py. No Dagster, opens no database, decides
nothing: the caller refuses the load where a check of severity error failed.
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
    """Great Expectations could not evaluate a check. This says nothing about the batch."""

    exit_code = 70


def run_gate(con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
    """Run every suite of a load and return one result per check, failed ones included.

    Where the shape of a batch is wrong only its shape is reported, for nothing else could be measured. Raises
    GateBrokenError where Great Expectations cannot evaluate a check, ContractError for a table or relation that does
    not exist; neither is ever reported as a failed check.
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
        results = {given.table: runner.judge(given, "shape", measures.shape_frame(con, given)) for given in inputs}
        sound = [given for given in inputs if all(result.passed for result in results[given.table])]
        beside = {given.table: given.staged for given in sound}
        for given in sound:
            for frame, rows in measures.frames(con, given, beside=beside).items():
                results[given.table] += runner.judge(given, frame, rows)
    return [result for given in inputs for result in results[given.table]]


@cache
def _runner() -> _Runner:
    """The runner of this process: making its context takes as long as judging a batch, and it keeps nothing of one."""
    return _Runner()


class _Runner:
    """One ephemeral Great Expectations context, fed with one pandas frame after the other."""

    def __init__(self) -> None:
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        self._gx: ModuleType = gx
        # Analytics off in the configuration itself, so that nothing is sent before a setter could be called.
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

    def judge(self, given: GateInput, frame: Frame, rows: pd.DataFrame) -> list[CheckResult]:
        """Results of the checks of one frame, in the order of the suite."""
        checks = {check.name: check for check in SUITES[given.table] if check.frame == frame}
        results = {name: _nothing(given.table, check, rows) for name, check in checks.items() if _is_idle(check, rows)}
        waiting = [check for name, check in checks.items() if name not in results]
        for check, result in self._validate(given, f"{given.table}.{frame}", rows, waiting):
            results[check.name] = _result(given.table, check, rows, result)
        return [results[name] for name in checks]

    def _validate(
        self, given: GateInput, name: str, rows: pd.DataFrame, checks: Sequence[Check]
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
        batch = self._definition.get_batch(batch_parameters={"dataframe": rows})
        # SUMMARY is the smallest format that says which rows were unexpected.
        outcome = batch.validate(suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": SAMPLES})
        for result in outcome.results:
            check = by_name.pop(result.expectation_config.meta["check"])
            fault = _fault(result.exception_info)
            if fault is not None:
                raise GateBrokenError(
                    f"{given.source}: Great Expectations could not evaluate {given.table}.{check.name} ({fault}). "
                    "The batch was not judged and nothing was committed; correct the check in pipelines/quality."
                )
            yield check, result
        if by_name:
            raise GateBrokenError(
                f"{given.source}: Great Expectations returned no result for {given.table}: {', '.join(by_name)}. "
                "The batch was not judged and nothing was committed; correct the suite in pipelines/quality."
            )


def _is_idle(check: Check, rows: pd.DataFrame) -> bool:
    """Whether there is no value to judge: no loaded neighbors, no other source. Without any there is no maximum."""
    column = check.kwargs.get("column")
    return column in rows.columns and not bool(rows[column].notna().any())


def _nothing(table: str, check: Check, rows: pd.DataFrame) -> CheckResult:
    observed = {"rows": len(rows), "judged": 0, "unexpected": 0}
    return CheckResult(table, check.name, check.severity, passed=True, observed=observed, sample=[])


def _result(table: str, check: Check, rows: pd.DataFrame, result: Any) -> CheckResult:
    said = result.result
    passed = bool(result.success)
    column = check.kwargs.get("column")
    observed: dict[str, Any] = {"rows": len(rows)}
    places: Sequence[Any] = []
    if "element_count" in said:
        observed["judged"] = said["element_count"] - said.get("missing_count", 0)
        observed["unexpected"] = said["unexpected_count"]
        places = said["partial_unexpected_index_list"]
    elif column is not None:
        beyond = _beyond(check, rows[column])
        observed["judged"] = int(rows[column].notna().sum())
        observed["unexpected"] = len(beyond)
        places = beyond[:SAMPLES]
    else:
        observed["judged"] = observed["unexpected"] = len(rows)
        places = range(min(len(rows), SAMPLES))
    if column is not None and rows[column].dtype.kind == "f":
        observed |= {"lowest": _plain(rows[column].min()), "highest": _plain(rows[column].max())}
    observed |= {
        key: check.kwargs[key] for key in ("min_value", "max_value", "mostly") if check.kwargs.get(key) is not None
    }
    judged = [check.kwargs[key] for key in ("column", "column_A", "column_B") if key in check.kwargs]
    shown = list(dict.fromkeys([*measures.identity(table, check.frame), *judged])) or list(rows.columns)
    sample = [] if passed else [{name: _plain(rows.at[place, name]) for name in shown} for place in places]
    return CheckResult(table, check.name, check.severity, passed, observed, sample)


def _beyond(check: Check, values: pd.Series) -> list[Any]:
    """Index of the values outside the limits of a maximum or minimum check, the worst first."""
    high, low = check.kwargs.get("max_value"), check.kwargs.get("min_value")
    if high is not None:
        outside = values[values >= high if check.kwargs["strict_max"] else values > high]
    else:
        outside = values[values <= low if check.kwargs["strict_min"] else values < low]
    return list(outside.sort_values(ascending=low is not None, kind="stable").index)


def _fault(info: Mapping[str, Any]) -> str | None:
    """What went wrong inside Great Expectations, or None.

    It reports a fault as {"raised_exception": True, …}, or as one such mapping per metric that failed.
    """
    parts = [info] if "raised_exception" in info else list(info.values())
    for part in parts:
        if isinstance(part, Mapping) and part.get("raised_exception"):
            return str(part.get("exception_message") or "no message")
    return None


def _plain(value: Any) -> Any:
    """A value of a frame as JSON knows it."""
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Great Expectations says about itself off the screen: faults come back in its results and are raised."""
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
