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
from pipelines.extract.landing import Landing

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


def known_at(table: Table, versions: Sequence[tuple[Version, Sequence[Path]]]) -> pl.DataFrame:
    """The rows of the newest version that could be known at another time than its parser says: _rid and available_at.

    `versions` are those of one part, oldest first, each with the staged files of its rows.
    """
    key = [column for column in table.key if column != "source"]
    names, same = ", ".join(key), " and ".join(f"n.{c} = b.{c}" for c in key)
    subject = f"cast({table.instrument_column} as varchar)" if table.instrument_column else "''"
    every = frozenset().union(*(version.subjects or () for version, _ in versions))
    asked = _Asked(every)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(
            f"create temp table before as select {names}, hash(1) as content, available_at, {subject} as subject "
            "from read_parquet(?) limit 0",
            [[str(file) for file in versions[-1][1]]],
        )
        for version, files in versions:
            con.execute("create or replace temp table newest as from before limit 0")
            if files:
                con.execute(
                    f"create or replace temp table newest as select {names}, "
                    f"min(hash({', '.join(table.value_columns) or '1'})) as content, "
                    f"min(available_at) as available_at, any_value({subject}) as subject from read_parquet(?) group by {names}",
                    [[str(file) for file in files]],
                )
            was_asked, is_asked = asked.condition("n"), _Asked(every).add(version.subjects).condition("b")
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
                    n.subject
                from newest as n
                left join before as b on {same}
                union all
                select b.* from before as b where not ({is_asked}) and not exists (select 1 from newest as n where {same})
                """,
                [version.fetched_at],
            )
            asked.add(version.subjects)
        # Of `sql`, because the result of `execute` has no `pl` in DuckDB 2.0.
        return con.sql(
            f"select n._rid, b.available_at from read_parquet(?) as n join before as b on {same} "
            "where n.available_at <> b.available_at",
            params=[[str(file) for file in versions[-1][1]]],
        ).pl()


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
