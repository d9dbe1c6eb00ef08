"""Reshapes wide files: one column per instrument and metric becomes one row per line and instrument.

Column names are interpreted here, cells are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.cells import NullRule
from pipelines.sources.files.mapping import Wide
from pipelines.sources.files.patterns import full_matches
from pipelines.sources.files.records import BATCH_ROWS, LINE

INSTRUMENT = "instrument"
FIELD = "_field"


@dataclass(frozen=True)
class WideLayout:
    """Columns by instrument and metric. `fixed` are the columns that every row keeps (the time)."""

    columns: Mapping[str, Mapping[str, str]]
    fixed: tuple[str, ...]

    @property
    def names(self) -> dict[tuple[str, str], str]:
        """The file's column by instrument and metric."""
        return {(name, metric): column for name, metrics in self.columns.items() for metric, column in metrics.items()}


def wide_layout(
    found: Sequence[str], wide: Wide, *, used: frozenset[str], ignored: frozenset[str], place: str
) -> WideLayout:
    """Parse the column names. Raises SourceFormatError for a column that neither matches wide.columns nor is in the mapping, an
    unknown metric, or an instrument without one of the metrics."""
    columns: dict[str, dict[str, str]] = {}
    plain = used | ignored | {LINE}
    names = [name for name in found if name not in plain]
    for name, match in zip(names, full_matches(wide.columns, names, place=place), strict=True):
        if match is None or match["instrument"] is None or match["metric"] not in wide.metrics:
            raise SourceFormatError(
                f"{place}: column {name!r} is not in the mapping: it matches neither an instrument's"
                f" {' or '.join(wide.metrics)} (wide.columns) nor ignore."
            )
        metrics = columns.setdefault(match["instrument"], {})
        if match["metric"] in metrics:
            raise SourceFormatError(f"{place}: columns {metrics[match['metric']]!r} and {name!r} are the same series.")
        metrics[match["metric"]] = name
    for instrument, metrics in columns.items():
        if missing := [metric for metric in wide.metrics if metric not in metrics]:
            raise SourceFormatError(
                f"{place}: the {missing[0]} column of {instrument!r} is missing. Correct the file or the mapping."
            )
    if not columns:
        raise SourceFormatError(f"{place}: no column matches wide.columns {wide.columns!r}. Correct the mapping.")
    return WideLayout(columns, tuple(sorted(used)))


def lengthen(
    records: pl.DataFrame, layout: WideLayout, wide: Wide, null_rule: NullRule
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Rows (fixed columns, instrument, one column per metric, _line, _field), and separately those whose cells are all null by
    the null rule. In batches of at most BATCH_ROWS."""
    step = max(1, BATCH_ROWS // len(layout.columns))
    first = wide.metrics[0]
    named = {metrics[first]: instrument for instrument, metrics in layout.columns.items()}
    for part in records.iter_slices(step):
        # All instruments of a metric at once: a select for each of them takes seconds where there are thousands.
        long = part.unpivot(
            on=list(named), index=[*layout.fixed, LINE], variable_name=FIELD, value_name=first
        ).with_columns(
            pl.col(FIELD).replace_strict(named, return_dtype=pl.String).alias(INSTRUMENT),
            *(
                part.unpivot(on=[metrics[metric] for metrics in layout.columns.values()])["value"].alias(metric)
                for metric in wide.metrics[1:]
            ),
        )
        if not null_rule.texts:
            yield long, long.clear()
            continue
        is_null = long.select(pl.all_horizontal(null_rule.holds(pl.col(metric)) for metric in wide.metrics)).to_series()
        yield (long.filter(~is_null), long.filter(is_null)) if is_null.any() else (long, long.clear())
