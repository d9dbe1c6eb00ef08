"""Contents, freshness and gaps of a warehouse: queries on an open connection that return plain values.

Covers the clean tables of the working database and the published snapshot. Opens no database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import duckdb

    from pipelines.contract.ddl import Contract

SAMPLES: Final = 10
"""Maximum number of samples."""


@dataclass(frozen=True)
class FailedCheck:
    """A failed check of the gate for the newest batch of a source."""

    source: str
    name: str
    severity: str
    observed: Mapping[str, Any]
    sample: Sequence[Any]


@dataclass(frozen=True)
class TableState:
    """Current state of one clean table.

    `received` to `quarantined` sum ops.loads over the newest load of every partition; `accepted_rows` is the row count they
    imply, None for tables merged by key. `gaps` counts the days of ops.coverage by status.
    """

    table: str
    rows: int
    first_day: date | None
    last_day: date | None
    received: int
    accepted: int
    duplicates: int
    quarantined: int
    accepted_rows: int | None
    checks: int
    failed_checks: tuple[FailedCheck, ...]
    quarantine: tuple[Mapping[str, Any], ...]
    gaps: Mapping[str, int]
    gap_sample: tuple[Mapping[str, Any], ...]

    @property
    def reconciles(self) -> bool:
        """Whether received = accepted + duplicates + quarantined, and the table has exactly the accepted rows."""
        adds_up = self.received == self.accepted + self.duplicates + self.quarantined
        return adds_up and self.accepted_rows in {None, self.rows}


@dataclass(frozen=True)
class LedgerState:
    """Totals of the loader ledger (schema ops)."""

    landings: int
    current_landings: int
    sources: int
    loads: int
    quarantined: int
    by_reason: Mapping[str, int]


def clean_states(con: duckdb.DuckDBPyConnection, contract: Contract) -> dict[str, TableState]:
    """State of every clean table of the working database, by name."""
    ledgers = {
        row["table_name"]: row
        for row in _rows(
            con,
            """
            with newest as (
                select * from ops.loads
                qualify row_number() over (partition by source, table_name, trade_date order by load_seq desc) = 1
            )
            select
                table_name,
                cast(sum(received) as bigint) as received,
                cast(sum(accepted) as bigint) as accepted,
                cast(sum(duplicates) as bigint) as duplicates,
                cast(sum(quarantined) as bigint) as quarantined
            from newest
            group by table_name
            """,
        )
    }
    checks = _newest_checks(con)
    gaps: dict[str, dict[str, int]] = {}
    for row in _rows(con, "select table_name, status, count(*) as days from ops.coverage group by 1, 2"):
        gaps.setdefault(row["table_name"], {})[row["status"]] = row["days"]
    states = {}
    for name, table in contract.clean.items():
        held = _rows(
            con, f"select count(*) as rows, min(trade_date) as first, max(trade_date) as last from {table.qualified}"
        )[0]
        ledger = ledgers.get(name, {"received": 0, "accepted": 0, "duplicates": 0, "quarantined": 0})
        table_checks = checks.get(name, [])
        states[name] = TableState(
            table=name,
            rows=held["rows"],
            first_day=held["first"],
            last_day=held["last"],
            received=ledger["received"],
            accepted=ledger["accepted"],
            duplicates=ledger["duplicates"],
            quarantined=ledger["quarantined"],
            accepted_rows=None if table.merge else ledger["accepted"],
            checks=len(table_checks),
            failed_checks=tuple(_failed(row) for row in table_checks if not row["passed"]),
            quarantine=tuple(_quarantine_sample(con, name)),
            gaps={status: gaps.get(name, {}).get(status, 0) for status in ("complete", "partial", "missing", "empty")},
            gap_sample=tuple(_gap_sample(con, name)),
        )
    return states


def ledger_state(con: duckdb.DuckDBPyConnection) -> LedgerState:
    """Totals of the ledger of the working database, or of a published snapshot."""
    row = _rows(
        con,
        """
        select
            (select count(*) from ops.landings) as landings,
            (select count(*) from ops.landings where is_current) as current_landings,
            (select count(distinct source) from ops.landings) as sources,
            (select count(distinct load_seq) from ops.loads) as loads,
            (select count(*) from ops.quarantine) as quarantined
        """,
    )[0]
    reasons = _rows(con, "select reason, count(*) as rows from ops.quarantine group by 1 order by 2 desc, 1")
    return LedgerState(**row, by_reason={r["reason"]: r["rows"] for r in reasons})


def recorded_landings(con: duckdb.DuckDBPyConnection) -> list[Mapping[str, Any]]:
    """The rows of ops.landings, in the working database or a published file; none where there is no such table."""
    tables = con.execute(
        "select 1 from duckdb_tables() where schema_name = 'ops' and table_name = 'landings' "
        "and database_name = current_database()"
    ).fetchall()
    return list(_rows(con, "select * from ops.landings order by landing_id")) if tables else []


def count_rows(con: duckdb.DuckDBPyConnection, tables: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Row counts by (schema, table)."""
    return {
        (schema, table): int((con.execute(f'select count(*) from "{schema}"."{table}"').fetchone() or (0,))[0])
        for schema, table in tables
    }


def sample_query(con: duckdb.DuckDBPyConnection, query: str, rows: int) -> tuple[Mapping[str, Any], ...]:
    """The first `rows` rows of a query, as JSON values."""
    return tuple(_plain(row) for row in _rows(con, f"select * from ({query}) as sampled limit {rows}"))


@dataclass(frozen=True)
class Holding:
    """Contents of the snapshot from one source in one table."""

    source: str
    table: str
    first_day: date | None
    last_day: date | None
    days: int
    gap_days: int
    lag_days: int | None
    rows: int
    quarantined: int
    last_loaded_at: datetime | None


@dataclass(frozen=True)
class Missing:
    """Days of one source, table and venue that are missing or partial for one reason: [first_day, last_day]."""

    source: str
    table: str
    venue: str
    status: str
    reason: str
    days: int
    first_day: date
    last_day: date
    instruments: int


@dataclass(frozen=True)
class Refused:
    """Quarantined rows of one source and table for one reason, with an example."""

    source: str
    table: str
    reason: str
    rows: int
    example: str


@dataclass(frozen=True)
class Status:
    """Contents, freshness and gaps of the published snapshot."""

    database: str
    published_at: datetime
    load_seq: int | None
    marts: Mapping[str, int]
    holdings: tuple[Holding, ...]
    refused: tuple[Refused, ...]
    missing: tuple[Missing, ...]
    stale: tuple[str, ...] = field(default=())

    @property
    def newest_day(self) -> date | None:
        return max((h.last_day for h in self.holdings if h.last_day), default=None)


def published_status(con: duckdb.DuckDBPyConnection, database: str) -> Status:
    """Status of the snapshot open in `con`."""
    publication = _rows(con, "select published_at, load_seq from meta.publication")[0]
    names = [
        r["table_name"]
        for r in _rows(con, "select table_name from duckdb_tables() where schema_name = 'marts' order by 1")
    ]
    rows = count_rows(con, [("marts", name) for name in names])
    holdings = _rows(
        con,
        "select source, table_name as table, first_trade_date as first_day, last_trade_date as last_day, days, "
        "gap_days, lag_days, rows_accepted as rows, rows_quarantined as quarantined, last_loaded_at "
        "from marts.source_freshness order by source, table_name",
    )
    refused = _rows(
        con,
        "select source, table_name as table, reason, count(*) as rows, "
        "min_by(concat_ws(' ', 'line', line, field, instrument, detail), line) as example "
        "from ops.quarantine group by all order by rows desc, source, table_name, reason",
    )
    missing = _rows(
        con,
        "select source, table_name as table, venue, status, coalesce(primary_reason, 'no reason recorded') as reason, "
        "count(*) as days, min(trade_date) as first_day, max(trade_date) as last_day, "
        "max(instruments_expected - instruments_present + instruments_partial) as instruments "
        "from marts.data_coverage_daily where status in ('missing', 'partial') "
        "group by all order by days desc, source, table_name, venue, first_day",
    )
    return Status(
        database=database,
        published_at=publication["published_at"],
        load_seq=publication["load_seq"],
        marts={name: rows["marts", name] for name in names},
        holdings=tuple(Holding(**row) for row in holdings),
        refused=tuple(Refused(**row) for row in refused),
        missing=tuple(Missing(**row) for row in missing),
    )


def newest_days(con: duckdb.DuckDBPyConnection) -> list[Mapping[str, Any]]:
    """Newest day of every fact mart per venue, of the working database or of a snapshot."""
    tables = _rows(
        con,
        "select table_name from information_schema.columns where table_schema = 'marts' and table_name like 'fct\\_%' "
        "escape '\\' group by 1 having count(*) filter (where column_name = 'venue') = 1 "
        "and count(*) filter (where column_name = 'trade_date') = 1 order by 1",
    )
    newest: list[Mapping[str, Any]] = []
    for row in tables:
        mart = row["table_name"]
        newest += _rows(
            con,
            f"select '{mart}' as mart, venue, max(trade_date) as newest_day from marts.{mart} "
            "group by venue order by venue",
        )
    return newest


def source_newest_days(con: duckdb.DuckDBPyConnection) -> Sequence[Mapping[str, Any]]:
    """Newest day of every source and table, with its lag in days behind the newest day of the warehouse."""
    return _rows(
        con,
        "select source, table_name, last_trade_date as newest_day, lag_days from marts.source_freshness "
        "order by lag_days desc nulls last, source, table_name",
    )


@dataclass(frozen=True)
class EvidenceState:
    """What the tables of evidence say of themselves.

    `remainder` is the largest part of open interest that the levels of an asset, day and side (`rows` of them) do not account for,
    `shifted` the mean share of shifted signals with p < 0.05, nominally 0.05, over `hypotheses` judged last, `skill` one row
    per side of the newest day scored, of all assets together. None and empty: nothing is known.
    """

    rows: int
    remainder: float | None
    hypotheses: int
    shifted: float | None
    skill: Sequence[Mapping[str, Any]]


def evidence_state(con: duckdb.DuckDBPyConnection) -> EvidenceState:
    """The state of the evidence that was built last."""
    [levels] = _rows(
        con,
        "select count(*) as row_count, max(abs(in_bins_base + beyond_bins_base + swept_base + never_base - oi_base) "
        "/ nullif(oi_base, 0)) as remainder from marts.liquidation_levels_summary_daily",
    )
    [scorecard] = _rows(
        con,
        "select count(placebo_rejection_share) as hypotheses, avg(placebo_rejection_share) as shifted "
        "from marts.signal_scorecard where judged_on = (select max(judged_on) from marts.signal_scorecard)",
    )
    skill = _rows(
        con,
        "select side, trade_date, skill_180d_vs_distance as skill, skill_low, skill_high, skill_days, verdict "
        "from marts.liquidation_levels_skill_daily where asset = '*' "
        "qualify row_number() over (partition by side order by trade_date desc) = 1 order by side",
    )
    return EvidenceState(levels["row_count"], levels["remainder"], scorecard["hypotheses"], scorecard["shifted"], skill)


def source_counts(con: duckdb.DuckDBPyConnection) -> Sequence[Mapping[str, Any]]:
    """Accepted and quarantined rows, and the lag in days, of every source and table."""
    return _rows(
        con,
        "select source, table_name, rows_accepted, rows_quarantined, lag_days from marts.source_freshness "
        "order by source, table_name",
    )


def problem_counts(con: duckdb.DuckDBPyConnection) -> Sequence[Mapping[str, Any]]:
    """How many answers of venues were not taken, by what became of it."""
    return _rows(con, "select effect, count(*) as problems from ops.fetch_problems group by effect order by effect")


def signals_on(con: duckdb.DuckDBPyConnection) -> Sequence[Mapping[str, Any]]:
    """The signals that are on on the newest day, with the verdicts of their hypotheses."""
    return _rows(
        con,
        "select s.asset, s.signal, s.trade_date as day, "
        "coalesce(string_agg(distinct v.verdict, ', ' order by v.verdict), 'none') as verdict "
        "from marts.signals_daily as s left join marts.signal_scorecard_latest as v on v.signal = s.signal "
        "where s.state = 'on' and s.trade_date = (select max(trade_date) from marts.signals_daily) "
        "group by all order by s.asset, s.signal",
    )


def coverage_gaps(con: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], Sequence[Mapping[str, Any]]]:
    """Days of marts.data_coverage_daily by status, and the newest days that are missing or partial."""
    counts = _rows(con, "select status, count(*) as days from marts.data_coverage_daily group by 1 order by 1")
    sample = _rows(
        con,
        "select source, table_name, venue, trade_date, status, primary_reason from marts.data_coverage_daily "
        f"where status in ('missing', 'partial') order by trade_date desc, source, table_name, venue limit {SAMPLES}",
    )
    return {row["status"]: row["days"] for row in counts}, sample


def _newest_checks(con: duckdb.DuckDBPyConnection) -> dict[str, list[dict[str, Any]]]:
    """Check results of the newest batch per source and table, including refused batches."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(
        con,
        "select * from ops.check_results "
        "qualify load_seq = max(load_seq) over (partition by source, table_name) "
        "order by table_name, source, check_name",
    ):
        found.setdefault(row["table_name"], []).append(row)
    return found


def _failed(row: Mapping[str, Any]) -> FailedCheck:
    return FailedCheck(
        source=row["source"],
        name=row["check_name"],
        severity=row["severity"],
        observed=json.loads(row["observed"]),
        sample=json.loads(row["sample"]),
    )


def _quarantine_sample(con: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    return _rows(
        con,
        "select source, reason, count(*) as rows, min_by(detail, line) as example from ops.quarantine "
        f"where table_name = ? group by all order by rows desc, source, reason limit {SAMPLES}",
        [table],
    )


def _gap_sample(con: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    return _rows(
        con,
        "select source, venue, count(distinct instrument) as instruments, count(distinct trade_date) as days, "
        "min(trade_date) as first_day, max(trade_date) as last_day, status, reason from ops.coverage "
        "where table_name = ? and status in ('partial', 'missing') group by all "
        f"order by days desc, source, venue, reason limit {SAMPLES}",
        [table],
    )


def _rows(con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    cursor = con.execute(query, parameters or None)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value if isinstance(value, int | float | str | None) else str(value) for name, value in row.items()}
