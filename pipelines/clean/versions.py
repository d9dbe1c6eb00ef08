"""When a row could be known, where its landing has earlier versions: a fact of the version and not of the day it is about.

A row that the version before lacked, or had with other values, was known no earlier than the fetch of the version since which
it has stood as it is. A row that did not change keeps the time it had. What a version was not asked for (a subject that its
fetch did not cover) is no statement of the source, so it counts neither as missing nor as new. Opens no warehouse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from pipelines.contract.ddl import Table
from pipelines.core.limits import current
from pipelines.extract.landing import Landing
from pipelines.storage.query import exactly

ALL_SUBJECTS: Final = None
"""Of a version that names no subjects: it was asked for everything there was."""


@dataclass(frozen=True)
class Version:
    """What one version of a part said: `landing` as it is read now, and when its bytes were first fetched."""

    landing: Landing
    fetched_at: datetime

    @property
    def subjects(self) -> frozenset[str] | None:
        """The subjects that its fetch covered, with or without an answer; ALL_SUBJECTS for files."""
        covers = self.landing.request.get("covers")
        return ALL_SUBJECTS if covers is None else frozenset(covers)


def versions_of(landing: Landing, landings: Iterable[Landing], *, refused: Collection[str]) -> list[Version]:
    """All versions of a part up to `landing` that are not refused, oldest first.

    Neighbors with the same bytes are one version, read as the newest of them: the source said nothing new, we read it anew.
    """
    chain = sorted(
        (
            x
            for x in landings
            if x.identity == landing.identity and x.version < landing.version and x.landing_id not in refused
        ),
        key=lambda x: x.version,
    )
    versions: list[Version] = []
    for one in (*chain, landing):
        if versions and versions[-1].landing.sha256 == one.sha256:
            versions[-1] = Version(one, versions[-1].fetched_at)
        else:
            versions.append(Version(one, one.fetched_at))
    return versions


WITHDRAWN_SCHEMA: Final = {
    "venue": pl.String(), "instrument": pl.String(), "series": pl.String(), "trade_date": pl.Date(), "rows": pl.Int64(),
}  # fmt: skip
"""Rows that a version took back, counted by what ops.coverage counts them by."""


@dataclass(frozen=True)
class Changes:
    """What the versions of a part say of a table: `moved` (_rid, available_at) are the rows of the newest that could be known at
    another time than its parser says, `withdrawn` (WITHDRAWN_SCHEMA) counts those that the venue has taken back."""

    moved: pl.DataFrame
    withdrawn: pl.DataFrame


def changes(table: Table, versions: Sequence[tuple[Version, Sequence[Path]]]) -> Changes:
    """What the earlier versions of a part change. `versions` are oldest first, each with the staged files of its rows.

    A row is withdrawn if a later version was asked for it and lacks it. Events are not counted: without one, a day is quiet.
    """
    key = [column for column in table.key if column != "source"]
    names, same = ", ".join(key), " and ".join(f"n.{c} = b.{c}" for c in key)
    subject = f"cast({table.instrument_column} as varchar)" if table.instrument_column else "''"
    rule = table.coverage
    place = "null"
    if rule is not None and rule.expected != "events":
        place = f"struct_pack(v := {rule.venue}, i := {rule.instrument}, s := {rule.series}, d := trade_date)"
    every = frozenset().union(*(version.subjects or () for version, _ in versions))
    asked = _Asked(every)
    spilled = str(versions[-1][1][0].parent).replace("'", "''")
    with duckdb.connect() as con:
        con.execute(f"set memory_limit = '{current().reader_memory}'")
        con.execute(f"set temp_directory = '{spilled}'")
        con.execute("set TimeZone = 'UTC'")
        con.execute(
            f"create temp table before as select {names}, hash(1) as content, available_at, {subject} as subject, "
            f"{place} as place from read_parquet(?) limit 0",
            [exactly(versions[-1][1])],
        )
        con.execute("create temp table withdrawn as from before")
        for version, files in versions:
            con.execute("create or replace temp table newest as from before limit 0")
            if files:
                con.execute(
                    f"create or replace temp table newest as select {names}, "
                    f"min(hash({', '.join(table.value_columns) or '1'})) as content, "
                    f"min(available_at) as available_at, any_value({subject}) as subject, "
                    f"any_value({place}) as place from read_parquet(?) group by {names}",
                    [exactly(files)],
                )
            was_asked, is_asked = asked.condition("n"), _Asked(every).add(version.subjects).condition("b")
            con.execute(
                f"""
                create or replace temp table withdrawn as
                select w.* from (from withdrawn union all select b.* from before as b where {is_asked}) as w
                where not exists (select 1 from newest as n where {" and ".join(f"n.{c} = w.{c}" for c in key)})
                """
            )
            con.execute(
                f"""
                create or replace temp table before as
                select
                    {", ".join(f"n.{c}" for c in key)},
                    n.content,
                    case
                        when b.content = n.content then b.available_at
                        when b.content is null and not ({was_asked}) then n.available_at
                        else greatest(n.available_at, ?)
                    end as available_at,
                    n.subject,
                    n.place
                from newest as n
                left join before as b on {same}
                union all
                select b.* from before as b where not ({is_asked}) and not exists (select 1 from newest as n where {same})
                """,
                [version.fetched_at],
            )
            asked.add(version.subjects)
        # Of `sql`, because the result of `execute` has no `pl` in DuckDB 2.0.
        moved = con.sql(
            f"select n._rid, b.available_at from read_parquet(?) as n join before as b on {same} "
            "where n.available_at <> b.available_at",
            params=[exactly(versions[-1][1])],
        ).pl()
        lost = pl.DataFrame(schema=WITHDRAWN_SCHEMA)
        if place != "null":
            lost = con.sql(
                "select place.v as venue, place.i as instrument, cast(place.s as varchar) as series, place.d as trade_date, "
                "count(*) as rows from withdrawn group by all order by all"
            ).pl()
        return Changes(moved, lost.cast(pl.Schema(WITHDRAWN_SCHEMA)))


class _Asked:
    """Which rows some versions were asked for, as a condition of SQL on the column subject.

    `every` are the subjects that any version of the part covered. Where rows do not name one of them (a fetch of pages or of
    blocks), a version counts as asked only if it covered them all.
    """

    def __init__(self, every: frozenset[str]) -> None:
        self.every = every
        self.subjects: frozenset[str] = frozenset()
        self.whole = False

    def add(self, subjects: frozenset[str] | None) -> _Asked:
        """Add what one version was asked for."""
        self.whole = self.whole or subjects is ALL_SUBJECTS or subjects == self.every
        self.subjects |= self.every if subjects is ALL_SUBJECTS else subjects
        return self

    def condition(self, alias: str) -> str:
        """True for rows that were asked for."""
        if self.whole or not self.subjects:
            return "true" if self.whole else "false"
        texts = ", ".join("'" + subject.replace("'", "''") + "'" for subject in sorted(self.subjects))
        return f"coalesce({alias}.subject in ({texts}), false)"
