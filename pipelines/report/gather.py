"""Reads the datasets out of the published file into arrays by asset. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import duckdb
import numpy as np
import polars as pl

from pipelines.report.datasets import DAILY, Dataset, available
from pipelines.report.encode import Floats, numbers, rounded, texts, words

NO_KEY: Final = ""

LISTING: Final = frozenset({"price", "oi"})
"""Datasets that make an asset one of the report."""

ASSETS_AT_ONCE: Final = 10
"""How many assets are read together: all would take gigabytes, and a query for each would scan the tables for each."""


@dataclass
class Span:
    """The days of an asset that any dataset knows, both ends included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1

    def years(self) -> list[tuple[int, int, int]]:
        """(year, offset of its first day, offset after its last day)."""
        found = []
        for year in range(self.first.year, self.last.year + 1):
            begin = max(date(year, 1, 1), self.first)
            end = min(date(year, 12, 31), self.last)
            found.append((year, (begin - self.first).days, (end - self.first).days + 1))
        return found


@dataclass
class Series:
    """One key of one dataset on the days of its asset."""

    numbers: dict[str, Floats] = field(default_factory=dict)
    words: dict[str, list[str | None]] = field(default_factory=dict)
    texts: dict[str, list[str | None]] = field(default_factory=dict)

    def encoded(self, begin: int, end: int) -> dict[str, Any]:
        """The days from `begin` to before `end` for JSON."""
        return {
            **{name: numbers(values[begin:end]) for name, values in self.numbers.items()},
            **{name: words(values[begin:end]) for name, values in self.words.items()},
            **{name: texts(values[begin:end]) for name, values in self.texts.items()},
        }


@dataclass
class AssetData:
    """All daily datasets of one asset."""

    asset: str
    span: Span
    series: dict[str, dict[str, Series]] = field(default_factory=dict)

    def only(self, names: Iterable[str]) -> AssetData:
        """The same with some of its datasets."""
        return AssetData(self.asset, self.span, {name: self.series[name] for name in names if name in self.series})

    def encoded(self, begin: int, end: int) -> dict[str, Any]:
        """Datasets of the days from `begin` to before `end`. A keyed one is `{k: keys, v: [columns of each]}`."""
        out: dict[str, Any] = {}
        for dataset in DAILY:
            found = self.series.get(dataset.name)
            if not found:
                continue
            if not dataset.keyed:
                out[dataset.name] = found[NO_KEY].encoded(begin, end)
                continue
            keys = sorted(found)
            columns = [found[key].encoded(begin, end) for key in keys]
            kept = [number for number, one in enumerate(columns) if any(value is not None for value in one.values())]
            out[dataset.name] = {"k": [keys[n] for n in kept], "v": [columns[n] for n in kept]}
        return out


def tables_of(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Every table of the published file, as schema.name."""
    rows = con.execute("select schema_name || '.' || table_name from duckdb_tables()").fetchall()
    return frozenset(name for (name,) in rows)


def spans_of(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> dict[str, Span]:
    """Every asset that has a price or open interest, with its days, in the order of names."""
    ends: dict[str, Span] = {}
    listed = set()
    for dataset in available(DAILY, tables):
        rows = con.execute(
            f"select asset, min(trade_date), max(trade_date) from ({dataset.sql}) group by asset"
        ).fetchall()
        for asset, first, last in rows:
            known = ends.get(asset, Span(first, last))
            ends[asset] = Span(min(first, known.first), max(last, known.last))
        if dataset.name in LISTING:
            listed |= {asset for asset, _, _ in rows}
    return {asset: ends[asset] for asset in sorted(listed)}


def lots(assets: Iterable[str]) -> list[tuple[str, ...]]:
    """Assets that are read together, in their order."""
    names = tuple(assets)
    return [names[start : start + ASSETS_AT_ONCE] for start in range(0, len(names), ASSETS_AT_ONCE)]


def gather(
    con: duckdb.DuckDBPyConnection, tables: frozenset[str], spans: Mapping[str, Span]
) -> Iterator[tuple[str, AssetData]]:
    """All datasets of every asset of `spans`, in its order, a lot in memory at a time."""
    for lot in lots(spans):
        assets = {asset: AssetData(asset, spans[asset]) for asset in lot}
        for dataset in available(DAILY, tables):
            frame = _frame(con, dataset, lot)
            for (asset, key), part in frame.partition_by("asset", "key", as_dict=True).items():
                data = assets[asset]
                data.series.setdefault(dataset.name, {})[key] = _series(dataset, part, data.span)
        yield from assets.items()


def _frame(con: duckdb.DuckDBPyConnection, dataset: Dataset, assets: Sequence[str]) -> pl.DataFrame:
    key = "key" if dataset.keyed else f"'{NO_KEY}' as key"
    values = ", ".join(
        (*(f"cast({name} as double) as {name}" for name in dataset.numbers), *dataset.words, *dataset.texts)
    )
    frame = con.sql(
        f"select asset, {key}, trade_date, {values} from ({dataset.sql}) where asset in (select unnest($assets)) "
        "order by asset, key, trade_date",
        params={"assets": list(assets)},
    ).pl()
    return frame.with_columns(
        pl.Series(name, rounded(frame[name].to_numpy().astype(np.float64)), nan_to_null=False)
        for name in dataset.numbers
    )


def _series(dataset: Dataset, part: pl.DataFrame, span: Span) -> Series:
    at = (part["trade_date"] - span.first).dt.total_days().to_numpy()
    series = Series()
    for name in dataset.numbers:
        column = np.full(span.days, np.nan)
        column[at] = part[name].to_numpy()
        series.numbers[name] = column
    for into, names in ((series.words, dataset.words), (series.texts, dataset.texts)):
        for name in names:
            values: list[str | None] = [None] * span.days
            for day, value in zip(at.tolist(), part[name].to_list(), strict=True):
                values[day] = value
            into[name] = values
    return series


def rows_of(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """The rows of a small query as objects; doubles rounded as everywhere, days as ISO texts."""
    cursor = con.execute(sql, list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [{name: plain(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]


def plain(value: Any) -> Any:
    """A value of DuckDB for JSON."""
    if isinstance(value, float):
        return _plain_number(float(rounded(np.array([value]))[0]))
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def plain_list(column: pl.Series) -> list[Any]:
    """The values of a column for JSON, as `plain` gives each."""
    if not column.dtype.is_float():
        return [plain(value) for value in column.to_list()]
    values = rounded(column.cast(pl.Float64).to_numpy().astype(np.float64)).tolist()
    return [_plain_number(value) for value in values]


def _plain_number(value: float) -> float | None:
    """A rounded number for JSON: null for NaN, and without a fraction where it has none."""
    if value != value:
        return None
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def columns_of(frame: pl.DataFrame, names: Mapping[str, str]) -> dict[str, Any]:
    """Whole columns of a frame for JSON; `names` says which are numbers and which are words or anything else."""
    out: dict[str, Any] = {}
    for name, kind in names.items():
        if kind == "number":
            out[name] = numbers(rounded(frame[name].cast(pl.Float64).to_numpy().astype(np.float64)))
        else:
            out[name] = words([None if value is None else str(value) for value in frame[name].to_list()])
    return out
