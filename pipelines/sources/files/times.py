"""Time cells to naive UTC: epochs, ISO texts, local times with daylight saving, dates.

Parsing times inside the CSV parser doubles its cost, so cells arrive as text and are cast here, column by column.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.sources.files.mapping import Time, fields_of, whole_pattern

INSTANT: Final = pl.Datetime("us")

_EPOCHS: Final = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1_000, "epoch_ns": 1}
"""Nanoseconds of each unit."""
_ISO_WITH_OFFSET: Final = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
_ISO_LOCAL: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f")

# Bitcoin's genesis block. Seconds read as milliseconds give 1970, milliseconds read as seconds the year 50,000.
_EARLIEST: Final = datetime(2009, 1, 3)
_LATEST: Final = datetime(2100, 1, 1)


def to_instants(cells: pl.Series, time: Time) -> pl.Series:
    """`cells` as naive UTC microseconds, shifted and rounded by `time`; null for cells in no given format.

    Instants before 2009 or after 2100 become null too, since they indicate a wrong unit.
    """
    found = pl.Series(cells.name, [None] * len(cells), dtype=INSTANT) if cells.is_empty() else None
    for name in time.format:
        parsed = _parse(cells, name, time)
        found = parsed if found is None else found.fill_null(parsed)
        if found.null_count() == 0:
            break
    assert found is not None  # noqa: S101 - the model refuses an empty list of formats
    return within_history(adjusted(found, shift=time.shift, rounding=time.round))


def file_instants(records: pl.DataFrame, time: Time) -> pl.Series:
    """The instants of `time` for each of `records`."""
    if time.column is not None:
        cells = records[time.column]
        if time.extract is not None:
            cells = cells.cast(pl.String).str.extract(time.extract, 1 if re.compile(time.extract).groups else 0)
        return to_instants(cells, time)
    names = fields_of(time.template or "")
    text = pl.format(
        re.sub(r"\{[^{}]*\}", "{}", time.template or ""), *(pl.col(name).cast(pl.String) for name in names)
    )
    return to_instants(records.select(text.alias("time"))["time"], time)


def adjusted(instants: pl.Series, *, shift: timedelta, rounding: timedelta | None) -> pl.Series:
    """`instants` shifted, then rounded to the nearest multiple of `rounding`."""
    if shift:
        instants = instants + shift
    return instants if rounding is None else instants.dt.round(rounding)


def within_history(instants: pl.Series) -> pl.Series:
    """`instants`, with null for those outside [2009, 2100)."""
    low, high = instants.min(), instants.max()
    if low is None or (low >= _EARLIEST and high < _LATEST):  # type: ignore[operator]
        return instants
    return instants.to_frame().select(pl.when(pl.nth(0).is_between(_EARLIEST, _LATEST, closed="left")).then(pl.nth(0)))[
        instants.name
    ]


def _parse(cells: pl.Series, name: str, time: Time) -> pl.Series:
    if name == "typed":
        return _typed(cells, time)
    if name == "epoch":
        found = pl.Series(cells.name, [None] * len(cells), dtype=INSTANT)
        for unit in _EPOCHS.values():
            found = found.fill_null(_epoch(cells, unit))
        return found
    if name in _EPOCHS:
        return _epoch(cells, _EPOCHS[name])
    text = cells.cast(pl.String)
    if name == "iso":
        return _iso(text, time)
    pattern = "%Y-%m-%d" if name == "date" else name
    if pattern == "%Y-%m-%d":
        return _localized(text.str.to_date(pattern, strict=False).cast(INSTANT), time)
    if "%z" in pattern or "%#z" in pattern:
        return _with_offset(text, pattern)
    pattern, added = whole_pattern(pattern)
    return _localized((text + added).str.to_datetime(pattern, time_unit="us", strict=False), time)


def _epoch(cells: pl.Series, nanoseconds: int) -> pl.Series:
    """Integers, and texts of floats that are one (1.7e9) or have a fraction of a second; null outside of history, so that another
    unit may be tried."""
    lowest = int(_EARLIEST.replace(tzinfo=UTC).timestamp()) * 1_000_000_000 // nanoseconds
    highest = int(_LATEST.replace(tzinfo=UTC).timestamp()) * 1_000_000_000 // nanoseconds
    whole = pl.Series(cells.name, [None] * len(cells), dtype=pl.Int64)
    numbers = whole if cells.dtype.is_float() else cells.cast(pl.Int64, strict=False)
    # Beyond nanoseconds' 64 bits nothing is plausible; within, no product of microseconds overflows.
    highest = min(highest, 2**63 - 1)
    plausible = numbers.to_frame().select(pl.when(pl.nth(0).is_between(lowest, highest)).then(pl.nth(0)))[numbers.name]
    instants = (plausible // 1_000 if nanoseconds == 1 else plausible * (nanoseconds // 1_000)).cast(INSTANT)
    if instants.null_count() == 0 or not (cells.dtype == pl.String or cells.dtype.is_float()):
        return instants
    # A double holds microseconds since 1970 exactly; nanoseconds it does not.
    floats = cells.cast(pl.Float64, strict=False)
    close = floats.to_frame().select(pl.when(pl.nth(0).is_between(lowest, highest)).then(pl.nth(0)))[floats.name]
    return instants.fill_null((close * (nanoseconds / 1_000)).round().cast(pl.Int64).cast(INSTANT))


def _iso(text: pl.Series, time: Time) -> pl.Series:
    text = text.str.strip_suffix(" UTC") + "Z" if text.str.ends_with(" UTC").all() else text.str.replace(" UTC$", "Z")
    found = pl.Series(text.name, [None] * len(text), dtype=INSTANT)
    for pattern in (*_ISO_WITH_OFFSET, *((*_ISO_LOCAL, "%Y-%m-%d") if time.zone else ())):
        if pattern == "%Y-%m-%d":
            parsed = _localized(text.str.to_date(pattern, strict=False).cast(INSTANT), time)
        elif pattern in _ISO_LOCAL:
            parsed = _localized(text.str.to_datetime(pattern, time_unit="us", strict=False), time)
        else:
            parsed = _with_offset(text, pattern)
        found = found.fill_null(parsed)
        if found.null_count() == 0:
            break
    return found


def _with_offset(text: pl.Series, pattern: str) -> pl.Series:
    parsed = text.str.to_datetime(pattern, time_unit="us", time_zone="UTC", strict=False)
    return parsed.dt.replace_time_zone(None)


def _typed(cells: pl.Series, time: Time) -> pl.Series:
    if isinstance(cells.dtype, pl.Datetime):
        micro = cells.dt.cast_time_unit("us")
        if cells.dtype.time_zone is not None:
            return micro.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _localized(micro, time)
    if cells.dtype == pl.Date:
        return _localized(cells.cast(INSTANT), time)
    return pl.Series(cells.name, [None] * len(cells), dtype=INSTANT)


def _localized(local: pl.Series, time: Time) -> pl.Series:
    """Wall-clock times in `time.zone` as UTC; null for nonexistent hours, and for ambiguous ones unless the mapping resolves
    them."""
    if time.zone in {"UTC", "Etc/UTC"}:
        return local
    if time.zone is None:
        return pl.Series(local.name, [None] * len(local), dtype=INSTANT)
    aware = local.dt.replace_time_zone(time.zone, ambiguous=time.ambiguous or "null", non_existent="null")
    return aware.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
