"""Accepted exceptions: what the market really did does not refuse a load once its source has declared it.

A declaration covers days and instruments of one check and nothing else: the check is made again without those rows, and
only if it then passes does its failure become a warning that carries the reason. What is checked stands in suites.
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


def judge(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    inputs: Sequence[GateInput],
    exceptions: Sequence[AcceptedException],
    *,
    gate: Gate,
) -> list[CheckResult]:
    """Results of `gate`. An error that the rows of accepted exceptions alone bring about becomes a warning, with
    `accepted_because` (reasons) and `accepted_rows` (rows left out when it was made again) in what was observed.

    Raises MappingError for an exception that names no check, and whatever the gate raises.
    """
    _refuse_unknown(contract, inputs, exceptions)
    return [
        _judged_again(con, contract, inputs, result, declared, gate)
        if (declared := [x for x in exceptions if (x.table, x.check) == (result.table, result.check_name)])
        and not result.passed
        and result.severity == "error"
        else result
        for result in gate(con, inputs)
    ]


def _judged_again(
    con: duckdb.DuckDBPyConnection,
    contract: Contract,
    inputs: Sequence[GateInput],
    failed: CheckResult,
    declared: Sequence[AcceptedException],
    gate: Gate,
) -> CheckResult:
    given = next(x for x in inputs if x.table == failed.table)
    concerned = []
    for exception in declared:
        scope = _scope(contract, exception)
        rows = int(scalar(con, f"select count(*) from {given.staged} where {scope}"))
        if rows:
            concerned.append((exception, scope, rows))
    if not concerned:
        return failed
    rest = f"unexceptional_{given.table}"
    left_out = " or ".join(f"({scope})" for _, scope, _ in concerned)
    con.execute(f"create or replace temp view {rest} as select * from {given.staged} where not ({left_out})")
    try:
        # Every table is handed over again, because some checks look at two.
        again = gate(con, [replace(x, staged=rest) if x.table == given.table else x for x in inputs])
    finally:
        con.execute(f"drop view {rest}")
    if any(x.table == failed.table and x.check_name == failed.check_name and not x.passed for x in again):
        return failed
    observed = {
        **failed.observed,
        "accepted_because": [exception.reason for exception, _, _ in concerned],
        "accepted_rows": sum(rows for _, _, rows in concerned),
    }
    return replace(failed, severity="warn", observed=observed)


def _scope(contract: Contract, exception: AcceptedException) -> str:
    """SQL condition, never null: the rows an exception covers."""
    days = f"trade_date between date '{exception.first_day}' and date '{exception.last_day}'"
    if exception.instrument is None:
        return days
    column = contract.table(exception.table).instrument_column
    name = exception.instrument.replace("'", "''")
    return f"{days} and {column} = '{name}'"


def _refuse_unknown(contract: Contract, inputs: Sequence[GateInput], exceptions: Sequence[AcceptedException]) -> None:
    source = inputs[0].source if inputs else "gate"
    for exception in exceptions:
        checks = [check.name for check in SUITES.get(exception.table, ()) if check.severity == "error"]
        if exception.check not in checks:
            known = f"those that refuse a load are {', '.join(sorted(checks))}" if checks else "there is no such table"
            raise MappingError(
                f"{source}: the accepted exception of {exception.first_day} names {exception.table}.{exception.check}; "
                f"{known}. See docs/quality.md."
            )
        if exception.instrument is not None and contract.table(exception.table).instrument_column is None:
            raise MappingError(
                f"{source}: the accepted exception of {exception.table}.{exception.check} names an instrument, "
                "which the table has not. Leave it out."
            )
