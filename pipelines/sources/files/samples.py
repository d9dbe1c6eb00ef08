"""The beginning of a file whose format nobody has described yet: its format, columns and cells. Nothing here is trusted: a proposal
made of it is checked by reading the whole file."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.unpack import open_members

SAMPLE_BYTES: Final = 1 << 20
SAMPLE_ROWS: Final = 500

_NUMBER: Final = re.compile(r"[-+]?\d[\d.,:eE+ TZ-]*")


@dataclass(frozen=True)
class Sample:
    """`settings` are the keys of [[file]] that its format needs; `columns` hold cells as text; `note` says what was seen."""

    format: str
    columns: Mapping[str, Sequence[str]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    head: str = ""


def sample_of(path: Path) -> Sample:
    """What the beginning of `path` looks like. Raises SourceFormatError for a file that no format fits."""
    with path.open("rb") as file:
        magic = file.read(6)
    if magic.startswith(b"PAR1"):
        return _frame("parquet", pl.scan_parquet(path, glob=False).head(SAMPLE_ROWS).collect())
    if magic.startswith(b"ARROW1"):
        return _frame("feather", pl.scan_ipc(path).head(SAMPLE_ROWS).collect())
    if path.suffix.lower() in {".xlsx", ".xls"}:
        from pipelines.sources.files.records import Columns
        from pipelines.sources.files.sheets import read_sheet

        every = Columns(used=frozenset(), ignored=frozenset("*"), wide=False)
        records = next(read_sheet(path, None, path.name, every))
        return _frame("xlsx", records.frame.drop("_line").head(SAMPLE_ROWS))
    for member in open_members(path, name=path.name, pattern="*"):
        with closing(member.stream) as stream:
            data = stream.read(SAMPLE_BYTES)
        return _text(data, path.name)
    raise SourceFormatError(f"{path.name}: the archive is empty.")


def _frame(kind: str, frame: pl.DataFrame) -> Sample:
    columns, settings = {}, {}
    typed = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime) or dtype == pl.Date]
    for name in frame.columns:
        nested = frame[name].dtype.is_nested()
        cells = [""] * frame.height if nested else frame[name].cast(pl.String).fill_null("").to_list()
        columns[name] = cells
    if typed:
        settings["typed"] = typed
        settings["zoned"] = [name for name in typed if getattr(frame.schema[name], "time_zone", None)]
    return Sample(kind, columns, settings)


def _text(data: bytes, name: str) -> Sample:
    settings: dict[str, Any] = {}
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        settings["encoding"] = "utf-16"
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            if len(data) == SAMPLE_BYTES and error.start > len(data) - 4:
                text = data[: error.start].decode("utf-8-sig")
            else:
                settings["encoding"] = "cp1252"
                text = data.decode("cp1252", errors="replace")
    if text.lstrip()[:1] in {"{", "["}:
        return _json(text, settings, name)
    return _csv(text, settings, name)


def _json(text: str, settings: dict[str, Any], name: str) -> Sample:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _json_lines(text, settings, name)
    if "\n" not in text.strip() and isinstance(document, dict) and name.endswith(".jsonl"):
        return _json_lines(text, settings, name)
    found = _rows(document)
    if found is None:
        lists = _lists(document)
        if lists is None:
            raise SourceFormatError(f"{name}: the JSON document holds no list of records. It begins {text[:200]!r}.")
        path, columns = lists
        settings |= {"columnar": True, **({"record_path": path} if path else {})}
        return Sample("json", columns, settings, head=text[:2000])
    path, rows = found
    if path:
        settings["record_path"] = path
    return Sample("json", _cells(rows), settings, head=text[:2000])


def _json_lines(text: str, settings: dict[str, Any], name: str) -> Sample:
    whole = []
    for line in text.splitlines()[:SAMPLE_ROWS]:
        try:
            whole.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            continue
    records = [row for row in whole if isinstance(row, dict)]
    if not records:
        raise SourceFormatError(f"{name}: no line is a JSON object. It begins {text[:200]!r}.")
    counted = Counter(frozenset(row) for row in records)
    common, _ = counted.most_common(1)[0]
    alike = [row for row in records if frozenset(row) == common]
    nested = next((key for key in alike[0] if isinstance(alike[0][key], list) and alike[0][key]), None)
    rows = alike
    if nested is not None and isinstance(alike[0][nested][0], dict):
        settings["record_path"] = nested
        rows = [inner for row in alike for inner in row[nested]]
    return Sample("jsonl", _cells(rows), settings, head=text[:2000])


def _rows(document: Any, path: str = "") -> tuple[str, list[Mapping[str, Any]]] | None:
    """The path of the first list of objects or of arrays, and its first elements."""
    if isinstance(document, list) and document:
        if isinstance(document[0], dict):
            inner = next((key for key, value in document[0].items() if isinstance(value, list) and value), None)
            if inner is not None and isinstance(document[0][inner][0], dict):
                around = {key: value for key, value in document[0].items() if not isinstance(value, list | dict)}
                below: list[Mapping[str, Any]] = [{**around, **row} for row in document[0][inner][:SAMPLE_ROWS]]
                return (f"{path}.{inner}".lstrip("."), below)
            return path, document[:SAMPLE_ROWS]
        if isinstance(document[0], list):
            return path, [{str(n): cell for n, cell in enumerate(row)} for row in document[:SAMPLE_ROWS]]
    if isinstance(document, dict):
        for key, value in document.items():
            if isinstance(value, list | dict) and (found := _rows(value, f"{path}.{key}".lstrip("."))):
                return found
    return None


def _lists(document: Any) -> tuple[str, dict[str, list[str]]] | None:
    for path, value in (("", document), *((k, v) for k, v in document.items() if isinstance(v, dict))):
        lists = {k: v for k, v in value.items() if isinstance(v, list) and v}
        for key, inner in value.items():
            if isinstance(inner, dict):
                lists |= {f"{key}.{k}": v for k, v in inner.items() if isinstance(v, list) and v}
        if len(lists) > 1 and len({len(x) for x in lists.values()}) == 1:
            return path, {k: [_cell(x) for x in v[:SAMPLE_ROWS]] for k, v in lists.items()}
    return None


def _cells(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [_cell(row.get(name)) for row in rows] for name in names}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _csv(text: str, settings: dict[str, Any], name: str) -> Sample:
    lines = text.splitlines()[: SAMPLE_ROWS + 60]
    plain = [line for line in lines if line.strip() and not line.startswith("#")]
    if not plain:
        raise SourceFormatError(f"{name}: the file is empty.")
    counts = {mark: Counter(line.count(mark) for line in plain[1:] or plain) for mark in (",", ";", "\t", "|")}

    def fitness(mark: str) -> tuple[bool, int, int]:
        """How many lines agree on how many of the mark they have."""
        number, lines_alike = counts[mark].most_common(1)[0]
        return number > 0, lines_alike, number

    delimiter = max(counts, key=fitness)
    if delimiter != ",":
        settings["delimiter"] = delimiter
    if len(plain) < len([line for line in lines if line.strip()]):
        settings["comment"] = "#"
    table = [[cell.strip() for cell in row] for row in csv.reader(plain, delimiter=delimiter)]
    width = Counter(len(row) for row in table).most_common(1)[0][0]
    first = next(n for n, row in enumerate(table) if len(row) == width)
    if first:
        settings["header"] = "find"
    header, body = table[first], [row for row in table[first + 1 :] if len(row) == width][:SAMPLE_ROWS]
    if _NUMBER.fullmatch(header[0]) and header[0]:
        settings["header"] = "none"
        body = [header, *body]
        header = [f"column_{n}" for n in range(1, width + 1)]
        settings["names"] = header
    note = f"{first} lines before the header" if first else ""
    columns = {title: [row[n] for row in body] for n, title in enumerate(header)}
    return Sample("csv", columns, settings, note, text[:2000])
