"""Sheets of Excel workbooks (xlsx) as records, every cell as text. The library that reads them is an extra of the package."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pipelines.core.archives import check_members
from pipelines.core.errors import ConfigError, SourceFormatError
from pipelines.core.limits import current, exceeded
from pipelines.sources.files.records import LINE, Columns, Records, in_batches, no_broken


def read_sheet(path: Path, sheet: str | None, name: str, columns: Columns) -> Iterator[Records]:
    """The rows of a sheet (None: the first) below its first row, which names the columns.

    Raises ConfigError if the library is not installed, SourceFormatError for what is no workbook or has no such sheet.
    """
    try:
        fastexcel = importlib.import_module("fastexcel")
    except ImportError as error:
        raise ConfigError(
            f"{name}: Excel files need the extra leverhouse[xlsx] (the library fastexcel). Install it, or save the sheet as CSV."
        ) from error
    _check_unpacked(path, name)
    try:
        book = fastexcel.read_excel(path)
        if sheet is not None and sheet not in book.sheet_names:
            raise SourceFormatError(f"{name}: no sheet {sheet!r}; it has {', '.join(book.sheet_names)}.")
        found = book.load_sheet(sheet if sheet is not None else 0, dtypes="string").to_polars()
    except fastexcel.FastExcelError as error:
        raise SourceFormatError(f"{name}: not a readable Excel workbook ({error}). Obtain it again.") from error
    columns.check(named := columns.renamed([x.strip() for x in found.columns]), place=f"{name}, line 1")
    if found.height > current().landing_rows:
        raise exceeded(name, "landing_rows", f"{found.height:,} rows", advice="Split the file.")
    found.columns = named
    numbers = pl.int_range(2, found.height + 2, dtype=pl.Int64, eager=True).alias(LINE)
    yield from in_batches(Records(found.with_columns(numbers), no_broken()))


def _check_unpacked(path: Path, name: str) -> None:
    """A workbook is a zip archive: the limits of archives hold for it, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive, archive.infolist(), name=name, members="archive_members", unpacked="document_bytes")
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceFormatError(f"{name}: not an Excel workbook ({error}). Obtain it again.") from error
