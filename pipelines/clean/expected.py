"""Expected rows of ops.coverage: what was planned or asked for and did not come, with the reason the landing and the journal give.

coverage.py counts what arrived. This adds the days after the last row of a series, and subjects without any row, and gives gaps
in between their true reason. It depends on plan, landing, journal and time alone, so that every load and every rebuild agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import duckdb
import polars as pl

from pipelines.contract.ddl import Contract, CoverageRule, Table
from pipelines.core.gap_reasons import RANK, rank_sql
from pipelines.extract.due import Held, Life, Missing
from pipelines.extract.venue import ANSWERED, WHOLE_VENUE
from pipelines.storage.query import execute_with, scalar

ENDED_AFTER: Final = timedelta(days=30)
"""A series that the source has answered without for this long has ended; until then its days are missing."""

UNSPECIFIC: Final = ("not in the source", "never asked", "fetch failed", "not yet published")
"""Reasons that a load gives for want of a better one."""


@dataclass(frozen=True)
class Expected:
    """What is missing of a source, the newest landings of it, and of captures how many slots a day has."""

    source: str
    venue: str
    tables: Sequence[str]
    missing: Sequence[Missing]
    landed: Collection[Held]
    slots_per_day: int | None = None
    lives: Mapping[str, Life] = field(default_factory=dict)
    """First and last instant of the instruments that the venue states one of."""

    @property
    def is_capture(self) -> bool:
        return self.slots_per_day is not None

    @property
    def judged(self) -> list[Missing]:
        """What is missing, but the slot of now, which may still be captured."""
        return [one for one in self.missing if not (self.is_capture and one.can_be_had)]


def write_expected(con: duckdb.DuckDBPyConnection, contract: Contract, several: Sequence[Expected]) -> None:
    """Bring ops.coverage of several sources up to what was expected of them. Reads it once for all, and again only for those of
    which something is missing."""
    con.execute(
        """
        create or replace temp table coverage_bounds as
        select
            source, table_name, venue, instrument, series,
            min(trade_date) filter (status <> 'missing' or quarantined > 0) as first_day,
            max(trade_date) filter (status <> 'missing' or quarantined > 0) as last_day,
            bool_or(status = 'missing') as has_missing
        from ops.coverage
        group by source, table_name, venue, instrument, series
        """
    )
    try:
        for expected in several:
            asked, lost = _asked(expected), _lost_slots(expected)
            execute_with(con, asked, "create or replace temp table asked as select * from frame")
            execute_with(con, _answered(expected), "create or replace temp table answered as select * from frame")
            execute_with(con, lost, "create or replace temp table lost_slots as select * from frame")
            execute_with(con, _lives(expected), "create or replace temp table lives as select * from frame")
            for name in expected.tables:
                table = contract.table(name)
                if table.coverage is not None:
                    writer = _Writer(con, expected, table, table.coverage)
                    writer.write(is_missing=not asked.is_empty(), lacks_slots=not lost.is_empty())
    finally:
        for name in ("coverage_bounds", "asked", "answered", "lost_slots", "lives", "series_bounds"):
            con.execute(f"drop table if exists {name}")


def _asked(expected: Expected) -> pl.DataFrame:
    """asked(subject, trade_date, reason, detail, forgotten_on, slots): the first reason of a day by precedence, and how many
    slots of a capture lack the subject."""
    found: dict[tuple[str, date], list[Missing]] = {}
    for one in expected.judged:
        found.setdefault((one.subject, one.day), []).append(one)
    rows = []
    for (subject, day), several in sorted(found.items()):
        first = min(several, key=lambda one: RANK[one.reason])
        forgotten = max((one.forgotten_on for one in several if one.forgotten_on), default=None)
        rows.append((subject, day, first.reason, first.detail, forgotten, len(several)))
    schema = {
        "subject": pl.String, "trade_date": pl.Date, "reason": pl.String, "detail": pl.String, "forgotten_on": pl.Date,
        "slots": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _lost_slots(expected: Expected) -> pl.DataFrame:
    """lost_slots(trade_date, slots, reason, forgotten_on): slots of a capture of which nothing is landed, by day."""
    landed = {held.span.start for held in expected.landed}
    found: dict[date, list[Missing]] = {}
    for one in expected.judged if expected.is_capture else ():
        if one.at not in landed:
            found.setdefault(one.day, []).append(one)
    rows = [
        (
            day,
            len({one.at for one in several}),
            min((one.reason for one in several), key=lambda reason: RANK[reason]),
            max((one.forgotten_on for one in several if one.forgotten_on), default=None),
        )
        for day, several in sorted(found.items())
    ]
    schema = {"trade_date": pl.Date, "slots": pl.Int64, "reason": pl.String, "forgotten_on": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _lives(expected: Expected) -> pl.DataFrame:
    """lives(instrument, listed_on, delisted_on): first and last day, null where the venue states none."""
    rows = [
        (name, first.date() if first else None, last.date() if last else None)
        for name, (first, last) in sorted(expected.lives.items())
    ]
    schema = {"instrument": pl.String, "listed_on": pl.Date, "delisted_on": pl.Date}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _answered(expected: Expected) -> pl.DataFrame:
    """answered(subject, trade_date): the newest days that the source was asked for and answered, of ENDED_AFTER."""
    newest = max((held.span.days[-1] for held in expected.landed), default=date.min)
    rows: set[tuple[str, date]] = set()
    for held in expected.landed:
        recent = [day for day in held.span.days if newest - day <= ENDED_AFTER]
        if recent and not held.is_refused:
            answered = [subject for subject, outcome in held.covers.items() if outcome in ANSWERED]
            rows.update((subject, day) for day in recent for subject in answered)
    return pl.DataFrame(sorted(rows), schema={"subject": pl.String, "trade_date": pl.Date}, orient="row")


@dataclass
class _Writer:
    con: duckdb.DuckDBPyConnection
    expected: Expected
    table: Table
    rule: CoverageRule

    def write(self, *, is_missing: bool, lacks_slots: bool) -> None:
        if self._has_missing_rows():
            self._forget_expected()
        self._bounds()
        self._add_days_of_series()
        if is_missing:
            self._add_subjects_without_rows()
            self._explain_gaps()
        if self.expected.lives:
            self._mark_days_without_instrument()
        if lacks_slots and self.rule.expected not in ("events", "interval"):
            self._explain_lost_slots()

    def _has_missing_rows(self) -> bool:
        found = "select coalesce(bool_or(has_missing), false) from coverage_bounds where source = ? and table_name = ?"
        return bool(scalar(self.con, found, [self.expected.source, self.table.name]))

    @property
    def _place(self) -> dict[str, str]:
        return {"source": self.expected.source, "table": self.table.name}

    @property
    def _any_subject(self) -> str:
        """A day without events is a fact of the source, whoever of its subjects did not answer."""
        return "true" if self.rule.expected == "events" else "false"

    @property
    def _is_lost(self) -> str:
        """A capture of events reaches back over the slots before it: only a day without any has lost something."""
        is_reaching = self.expected.is_capture and self.rule.expected == "events"
        return f"a.slots >= {self.expected.slots_per_day}" if is_reaching else "true"

    def _forget_expected(self) -> None:
        """Remove what an earlier call added: missing days outside the rows of a series."""
        self.con.execute(
            """
            delete from ops.coverage as o
            where o.source = $source and o.table_name = $table and o.status = 'missing' and o.quarantined = 0
                and o.reason <> 'withdrawn by the venue'
                and not exists (
                    select 1 from coverage_bounds as b
                    where b.source = $source and b.table_name = $table and b.venue = o.venue
                        and b.instrument = o.instrument and b.series = o.series
                        and o.trade_date between b.first_day and b.last_day
                )
            """,
            self._place,
        )

    def _bounds(self) -> None:
        self.con.execute(
            """
            create or replace temp table series_bounds as
            select venue, instrument, series, first_day, last_day
            from coverage_bounds where source = $source and table_name = $table and first_day is not null
            """,
            self._place,
        )

    def _add_days_of_series(self) -> None:
        """Days after the last row of a series that were asked for: in vain, or answered without it."""
        self.con.execute(
            f"""
            insert into ops.coverage
            with
            newest as (select max(trade_date) as newest_day from (
                select trade_date from asked union all select trade_date from answered
            )),
            candidates as (
                select b.venue, b.instrument, b.series, a.trade_date, a.reason, a.detail, a.forgotten_on
                from series_bounds as b
                join asked as a
                    on (a.subject in (b.instrument, '{WHOLE_VENUE}') or {self._any_subject}) and a.trade_date > b.last_day
                        and {self._is_lost}
                union all
                select b.venue, b.instrument, b.series, a.trade_date, 'not in the source', null, null
                from series_bounds as b
                join answered as a
                    on a.subject in (b.instrument, '{WHOLE_VENUE}') and a.trade_date > b.last_day
                cross join newest as n
                where not {self._any_subject} and b.last_day >= n.newest_day - {ENDED_AFTER.days}
            )
            select
                $source, $table, c.venue, c.instrument, c.series, c.trade_date, null, 0, 0, 'missing', c.reason, c.detail,
                c.forgotten_on
            from candidates as c
            anti join ops.coverage as o
                on o.source = $source and o.table_name = $table and o.venue = c.venue and o.instrument = c.instrument
                and o.series = c.series and o.trade_date = c.trade_date
            qualify row_number() over (
                partition by c.venue, c.instrument, c.series, c.trade_date order by {rank_sql("c.reason")}, c.detail
            ) = 1
            """,
            self._place,
        )

    def _mark_days_without_instrument(self) -> None:
        """A day on which the instrument did not exist is missing for that reason, where no better one is known."""
        self.con.execute(
            f"""
            update ops.coverage as o
            set
                reason = case when o.trade_date < l.listed_on then 'before listing' else 'after delisting' end,
                detail = null,
                forgotten_on = null
            from lives as l
            where o.source = $source and o.table_name = $table and o.instrument = l.instrument and o.status = 'missing'
                and o.quarantined = 0 and o.reason in ({", ".join(f"'{reason}'" for reason in UNSPECIFIC)})
                and (o.trade_date < l.listed_on or o.trade_date > l.delisted_on)
            """,
            self._place,
        )

    def _add_subjects_without_rows(self) -> None:
        """Subjects that never answered: known by their name alone."""
        self.con.execute(
            f"""
            insert into ops.coverage
            with
            venues as (select case when count(distinct venue) = 1 then min(venue) end as venue from series_bounds)
            select
                $source, $table, coalesce(v.venue, $venue), a.subject, '', a.trade_date, null, 0, 0, 'missing',
                a.reason, a.detail, a.forgotten_on
            from (
                select * replace (case when {self._any_subject} then '{WHOLE_VENUE}' else subject end as subject) from asked
                qualify row_number() over (
                    partition by case when {self._any_subject} then '' else subject end, trade_date
                    order by {rank_sql("reason")}, detail
                ) = 1
            ) as a
            cross join venues as v
            where a.slots >= {self.expected.slots_per_day or 1}
                and not exists (select 1 from series_bounds as b where b.instrument = a.subject)
                and not (a.subject = '{WHOLE_VENUE}' and exists (select 1 from series_bounds))
            """,
            {**self._place, "venue": self.expected.venue},
        )

    def _explain_gaps(self) -> None:
        """Give partial and missing days the reason of what was asked for, where the load knew none."""
        self.con.execute(
            f"""
            update ops.coverage as o
            set reason = a.reason, forgotten_on = a.forgotten_on, detail = coalesce(a.detail, o.detail)
            from (
                select o.venue, o.instrument, o.series, o.trade_date, a.reason, a.detail, a.forgotten_on
                from ops.coverage as o
                join asked as a
                    on (a.subject in (o.instrument, '{WHOLE_VENUE}') or {self._any_subject}) and a.trade_date = o.trade_date
                        and {self._is_lost}
                where o.source = $source and o.table_name = $table and o.status in ('partial', 'missing')
                    and o.quarantined = 0 and not coalesce(starts_with(o.detail, 'captured'), false)
                    and o.reason in ({", ".join(f"'{reason}'" for reason in UNSPECIFIC)})
                qualify row_number() over (
                    partition by o.venue, o.instrument, o.series, o.trade_date order by {rank_sql("a.reason")}, a.detail
                ) = 1
            ) as a
            where o.source = $source and o.table_name = $table and o.venue = a.venue and o.instrument = a.instrument
                and o.series = a.series and o.trade_date = a.trade_date
            """,
            self._place,
        )

    def _explain_lost_slots(self) -> None:
        """Give days that lack slots the reason of these, and count slots after the newest landed one: the load does not know that
        they are over."""
        self.con.execute(
            f"""
            update ops.coverage as o
            set
                expected = case when o.present > 0 then a.wanted else o.expected end,
                status = case when o.present > 0 then 'partial' else 'missing' end,
                reason = a.reason, forgotten_on = a.forgotten_on,
                detail = case
                    when o.present > 0 then 'captured ' || (a.wanted - a.slots) || ' of ' || a.wanted || ' slots' else o.detail
                end
            from (
                select
                    o.venue, o.instrument, o.series, o.trade_date, a.reason, a.forgotten_on, a.slots,
                    least(greatest(o.expected, o.present + a.slots), {self.expected.slots_per_day}) as wanted
                from ops.coverage as o
                join lost_slots as a on a.trade_date = o.trade_date
                where o.source = $source and o.table_name = $table and (o.present = 0 or o.expected is not null)
                    and (o.status = 'complete' or starts_with(o.detail, 'captured'))
            ) as a
            where o.source = $source and o.table_name = $table and o.venue = a.venue and o.instrument = a.instrument
                and o.series = a.series and o.trade_date = a.trade_date
            """,
            self._place,
        )
