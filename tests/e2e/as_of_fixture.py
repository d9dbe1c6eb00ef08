"""Compares the marts of now with those of a warehouse built as of an instant. No tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

KNOWN_LATER: Mapping[str, tuple[str, str]] = {"liquidation_heatmap_daily": ("color_", "color_available_at")}
"""Columns of a mart, by the beginning of their names, that were known later than their row, and the column that says when: the
scale of colors is that of the asset's newest day."""


@dataclass(frozen=True)
class Compared:
    """Rows of a mart that were known by the instant: how many, how many the other lacks, and how many differ, by column."""

    mart: str
    rows: int
    missing: int
    differing: Mapping[str, int]

    @property
    def is_equal(self) -> bool:
        return not self.missing and not self.differing


def compare_known(now: Path, then: Path, at: datetime) -> list[Compared]:
    """Every mart that says when its rows were known and has a key: its rows known by `at`, in both published files.

    Doubles are equal to 1e-9 of their size, or, where sums cancel out to almost nothing, to 1e-12 of the largest of their column or
    1e-15; everything else is equal exactly.
    """
    con = duckdb.connect()
    try:
        for name, path in (("now", now), ("then_", then)):
            con.execute(f"attach '{path}' as {name} (read_only)")
        marts = con.execute(
            "select table_name, list(column_name order by key_position) filter (key_position is not null), "
            "list(column_name) filter (key_position is null), list(data_type) filter (key_position is null) "
            "from now.meta.columns where schema_name = 'marts' group by table_name "
            "having bool_or(column_name = 'available_at') and count(key_position) > 0 order by 1"
        ).fetchall()
        return [_compare(con, name, key, columns, kinds, at) for name, key, columns, kinds in marts]
    finally:
        con.close()


def _compare(
    con: duckdb.DuckDBPyConnection,
    mart: str,
    key: Sequence[str],
    columns: Sequence[str],
    kinds: Sequence[str],
    at: datetime,
) -> Compared:
    same = " and ".join(f"n.{name} is not distinct from t.{name}" for name in key)
    differs = {
        name: f"n.{name} is distinct from t.{name}"
        + (
            f" and not coalesce(abs(n.{name} - t.{name}) <= greatest(1e-9 * greatest(abs(n.{name}), abs(t.{name})), "
            f"1e-12 * (select max(abs({name})) from now.marts.{mart}), 1e-15), false)"
            if kind == "DOUBLE"
            else ""
        )
        for name, kind in zip(columns, kinds, strict=True)
    }
    begins, known = KNOWN_LATER.get(mart, ("", ""))
    if known:
        differs |= {name: f"n.{known} <= $at and ({text})" for name, text in differs.items() if name.startswith(begins)}
    counts = ", ".join(f"count(*) filter (t.here and ({text}))" for text in differs.values())
    [(rows, missing, *found)] = con.execute(
        f"select count(*), count(*) filter (t.here is null), {counts} from now.marts.{mart} as n "
        f"left join (select *, true as here from then_.marts.{mart}) as t on {same} where n.available_at <= $at",
        {"at": at},
    ).fetchall()
    return Compared(mart, rows, missing, {name: n for name, n in zip(differs, found, strict=True) if n})
