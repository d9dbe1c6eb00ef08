"""Accepted exceptions: correct but unusual data does not refuse a load once its source has declared it.

An exception covers days and instruments of one check. The check is run again without the covered rows; if it then passes,
the failure becomes a warning with the declared reason. The checks are in suites.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.contract.batch import AcceptedException
from pipelines.contract.ddl import Contract
from pipelines.core.errors import MappingError
from pipelines.quality.batch import CheckResult, Gate, GateInput
from pipelines.quality.suites import SUITES
from pipelines.storage.query import scalar

if TYPE_CHECKING:
    import duckdb


def run_gate_with_exceptions(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    inputs: Sequence[GateInput],
    exceptions: Sequence[AcceptedException],
    *,
    gate: Gate,
) -> list[CheckResult]:
    """Results of `gate`. A failed check of severity error that passes without the rows of accepted exceptions becomes a
    warning, with `accepted_because` (reasons) and `accepted_rows` (rows left out) added to `observed`.

    Raises MappingError for an exception of an unknown check, and whatever the gate raises.
    """
    _validate(contract, inputs, exceptions)
    return [
        _rerun_without_exceptions(con, contract, inputs, result, declared, gate)
        if (declared := [x for x in exceptions if (x.table, x.check) == (result.table, result.check_name)])
        and not result.passed
        and result.severity == "error"
        else result
        for result in gate(con, inputs)
    ]


def _rerun_without_exceptions(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    inputs: Sequence[GateInput],
    failed: CheckResult,
    declared: Sequence[AcceptedException],
    gate: Gate,
) -> CheckResult:
    batch = next(x for x in inputs if x.table == failed.table)
    matching = []
    for exception in declared:
        scope = _scope(contract, exception)
        rows = int(scalar(con, f"select count(*) from {batch.staged} where {scope}"))
        if rows:
            matching.append((exception, scope, rows))
    if not matching:
        return failed
    rest = f"without_exceptions_{batch.table}"
    left_out = " or ".join(f"({scope})" for _, scope, _ in matching)
    con.execute(f"create or replace temp view {rest} as select * from {batch.staged} where not ({left_out})")
    try:
        # All tables are passed again, because some checks read two of them.
        rerun = gate(con, [replace(x, staged=rest) if x.table == batch.table else x for x in inputs])
    finally:
        con.execute(f"drop view {rest}")
    if any(x.table == failed.table and x.check_name == failed.check_name and not x.passed for x in rerun):
        return failed
    observed = {
        **failed.observed,
        "accepted_because": [exception.reason for exception, _, _ in matching],
        "accepted_rows": sum(rows for _, _, rows in matching),
    }
    return replace(failed, severity="warn", observed=observed)


def _scope(contract: Contract, exception: AcceptedException) -> str:
    """SQL condition for the rows an exception covers; never null."""
    days = f"trade_date between date '{exception.first_day}' and date '{exception.last_day}'"
    if exception.instrument is None:
        return days
    column = contract.table(exception.table).instrument_column
    name = exception.instrument.replace("'", "''")
    return f"{days} and {column} = '{name}'"


def _validate(contract: Contract, inputs: Sequence[GateInput], exceptions: Sequence[AcceptedException]) -> None:
    source = inputs[0].source if inputs else "gate"
    for exception in exceptions:
        checks = [check.name for check in SUITES.get(exception.table, ()) if check.severity == "error"]
        if exception.check not in checks:
            known = (
                f"its checks of severity error are {', '.join(sorted(checks))}" if checks else "there is no such table"
            )
            raise MappingError(
                f"{source}: the accepted exception of {exception.first_day} names {exception.table}.{exception.check}, but "
                f"{known}. See docs/quality.md."
            )
        if exception.instrument is not None and contract.table(exception.table).instrument_column is None:
            raise MappingError(
                f"{source}: the accepted exception of {exception.table}.{exception.check} names an instrument, but "
                "the table has no instrument column. Remove the instrument."
            )
