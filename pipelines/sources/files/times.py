"""Time cells to naive UTC: epochs, ISO texts, local times with daylight saving, dates.

Parsing times inside the CSV parser doubles its cost, so cells arrive as text and are cast here, column by column.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipelines.sources.files.mapping import Time

INSTANT: Final = pl.Datetime("us")

_EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
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
    return _localized(text.str.to_datetime(pattern, time_unit="us", strict=False), time)


def _epoch(cells: pl.Series, microseconds: int) -> pl.Series:
    """Integers only: a float's fraction would be truncated, and a product beyond 64 bits would overflow into the past."""
    if cells.dtype.is_float():
        return pl.Series(cells.name, [None] * len(cells), dtype=INSTANT)
    numbers = cells.cast(pl.Int64, strict=False)
    highest = int(_LATEST.timestamp()) * 1_000_000 // microseconds
    plausible = numbers.to_frame().select(pl.when(pl.nth(0).is_between(0, highest)).then(pl.nth(0)))[numbers.name]
    return (plausible * microseconds).cast(INSTANT)


def _iso(text: pl.Series, time: Time) -> pl.Series:
    text = text.str.strip_suffix(" UTC") + "Z" if text.str.ends_with(" UTC").all() else text.str.replace(" UTC$", "Z")
    found = pl.Series(text.name, [None] * len(text), dtype=INSTANT)
    for pattern in (*_ISO_WITH_OFFSET, *(_ISO_LOCAL if time.zone else ())):
        if pattern in _ISO_LOCAL:
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
