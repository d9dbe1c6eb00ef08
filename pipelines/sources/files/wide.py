"""Wide files to records: one column per instrument and metric becomes one row per line and instrument.

Column names are read here, cells are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.cells import Absence
from pipelines.sources.files.mapping import Wide
from pipelines.sources.files.records import BATCH_ROWS, LINE

INSTRUMENT = "instrument"
FIELD = "_field"


@dataclass(frozen=True)
class WideLayout:
    """Which column holds which metric of which instrument. `fixed` are the columns every row keeps (the time)."""

    columns: Mapping[str, Mapping[str, str]]
    fixed: tuple[str, ...]

    @property
    def names(self) -> dict[tuple[str, str], str]:
        """Column of the file by instrument and metric."""
        return {(name, metric): column for name, of in self.columns.items() for metric, column in of.items()}


def wide_layout(
    found: Sequence[str], wide: Wide, *, used: frozenset[str], ignored: frozenset[str], place: str
) -> WideLayout:
    """Read the column names. Raises SourceFormatError for a column that is neither an instrument's nor in the mapping,
    an unknown metric, and an instrument that lacks one."""
    columns: dict[str, dict[str, str]] = {}
    pattern = re.compile(wide.columns)
    for name in found:
        if name == LINE or name in used | ignored:
            continue
        match = pattern.fullmatch(name)
        if match is None or match["metric"] not in wide.metrics:
            raise SourceFormatError(
                f"{place}: column {name!r} is not in the mapping: it is no instrument's {' or '.join(wide.metrics)}"
                " (wide.columns) and not in ignore."
            )
        of = columns.setdefault(match["instrument"], {})
        if match["metric"] in of:
            raise SourceFormatError(f"{place}: columns {of[match['metric']]!r} and {name!r} are the same series.")
        of[match["metric"]] = name
    for instrument, of in columns.items():
        if missing := [metric for metric in wide.metrics if metric not in of]:
            raise SourceFormatError(
                f"{place}: the {missing[0]} column of {instrument!r} is missing. Correct the file or the mapping."
            )
    if not columns:
        raise SourceFormatError(f"{place}: no column matches wide.columns {wide.columns!r}. Correct the mapping.")
    return WideLayout(columns, tuple(sorted(used)))


def lengthen(
    records: pl.DataFrame, layout: WideLayout, wide: Wide, absence: Absence
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Rows (fixed columns, instrument, one column per metric, _line, _field) and, apart, those all of whose cells the
    null rule calls absent. In pieces of at most BATCH_ROWS."""
    step = max(1, BATCH_ROWS // len(layout.columns))
    for part in records.iter_slices(step):
        long = pl.concat(
            [
                part.select(
                    *layout.fixed,
                    LINE,
                    pl.lit(instrument).alias(INSTRUMENT),
                    pl.lit(of[wide.metrics[0]]).alias(FIELD),
                    *(pl.col(of[metric]).alias(metric) for metric in wide.metrics),
                )
                for instrument, of in layout.columns.items()
            ]
        )
        if not absence.texts:
            yield long, long.clear()
            continue
        absent = long.select(pl.all_horizontal(absence.holds(pl.col(metric)) for metric in wide.metrics)).to_series()
        yield (long.filter(~absent), long.filter(absent)) if absent.any() else (long, long.clear())
