"""Faults of all kinds in files of all formats: each record becomes a row, a reject or an ignored one, or the whole file is refused
in words. No error of a library comes through."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pytest

from pipelines.core.errors import LimitError, SourceFormatError
from pipelines.sources.files.check import load_mapping
from pipelines.sources.files.mapping import Mapping as FileMapping
from pipelines.sources.files.source import parse
from tests.unit import files_fixture as fixture

Row = dict[str, Any]
Defect = Callable[[random.Random, list[Row]], None]

ROWS: Final = 12
COLUMNS: Final = ("symbol", "time", "oi", "value")


def rows_of(rng: random.Random) -> list[Row]:
    return [
        {
            "symbol": rng.choice(["BTCUSDT", "ETHUSDT"]),
            "time": f"2024-01-{n // 24 + 1:02d} {n % 24:02d}:05:00",
            "oi": f"{rng.random() * 1e5:.3f}",
            "value": f"{rng.random() * 1e9:.2f}",
        }
        for n in range(ROWS)
    ]


def cell(name: str, value: Any) -> Defect:
    def change(rng: random.Random, rows: list[Row]) -> None:
        rng.choice(rows)[name] = value

    return change


def lacks(name: str) -> Defect:
    def change(rng: random.Random, rows: list[Row]) -> None:
        del rng.choice(rows)[name]

    return change


DEFECTS: Final[Mapping[str, Defect]] = {
    "nothing": lambda rng, rows: None,
    "no symbol": cell("symbol", ""),
    "unknown symbol": cell("symbol", "???"),
    "symbol of spaces": cell("symbol", "  BTCUSDT "),
    "long symbol": cell("symbol", "B" * 5_000),
    "symbol in another script": cell("symbol", "\u0411\u0422\u0426USDT"),
    "no time": cell("time", ""),
    "time in words": cell("time", "yesterday"),
    "day that is none": cell("time", "2024-02-30 00:00:00"),
    "hour alone": cell("time", "2024-01-01 5"),
    "epoch": cell("time", "1704067200"),
    "year 0001": cell("time", "0001-01-01 00:00:00"),
    "number in words": cell("oi", "many"),
    "not a number": cell("oi", "NaN"),
    "infinite": cell("oi", "Infinity"),
    "huge": cell("oi", "1e999"),
    "negative": cell("oi", "-1"),
    "percent": cell("oi", "5%"),
    "decimal comma": cell("oi", "1;5"),
    "null": cell("oi", "NULL"),
    "empty": cell("oi", ""),
    "control character": cell("value", "1\x1b[2J"),
    "line end": cell("value", "1\n2"),
    "quote": cell("value", '1"2'),
}
"""Faults of a cell, in any format."""


def cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def flipped(rng: random.Random, data: bytes) -> bytes:
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]


def inserted(what: bytes) -> Callable[[random.Random, bytes], bytes]:
    def change(rng: random.Random, data: bytes) -> bytes:
        place = rng.randrange(len(data))
        return data[:place] + what + data[place:]

    return change


BYTES: Final[Mapping[str, Callable[[random.Random, bytes], bytes]]] = {
    "cut": cut,
    "bit": flipped,
    "NUL": inserted(b"\0"),
    "quote": inserted(b'"'),
    "line end": inserted(b"\n"),
    "comma": inserted(b","),
    "not UTF-8": inserted(b"\xff\xfe"),
    "line of text": inserted(b"\nan error occurred, try again\n"),
    "acknowledgement": inserted(b'\n{"result":null,"id":1}\n'),
    "empty": lambda rng, data: b"",
    "twice": lambda rng, data: data + data,
}
"""Faults of the bytes: what is read of them cannot be told beforehand."""


NO_TEXT: Final[Mapping[str, bytes]] = {
    "NUL": b"\0", "not UTF-8": b"\xff\xfe", "not cp1252": b"\x81", "cut character": b"\xe2\x82",
}  # fmt: skip
"""Bytes that are no text: behind the header each costs its record at most, and no other."""

LINES: Final[Mapping[str, int]] = {"csv": 24, "csv with tabs, found header": 33, "jsonl": 0}
"""Formats whose records are lines, and where their records begin."""


def as_csv(rows: list[Row], mark: str = ",") -> bytes:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if any(x in text for x in ('"', "\n", mark)) else text

    lines = [COLUMNS, *([quoted(str(row.get(name, ""))) for name in COLUMNS] for row in rows)]
    return "".join(mark.join(line) + "\n" for line in lines).encode()


def as_columns(rows: list[Row]) -> bytes:
    return json.dumps({"data": {name: [row.get(name) for row in rows] for name in COLUMNS}}).encode()


def as_frame(rows: list[Row], kind: str) -> bytes:
    sink = io.BytesIO()
    frame = pl.DataFrame(
        [{name: row.get(name) for name in COLUMNS} for row in rows], schema=dict.fromkeys(COLUMNS, pl.String)
    )
    if kind == "parquet":
        frame.write_parquet(sink)
    else:
        frame.write_ipc(sink, compression="lz4")
    return sink.getvalue()


def zipped(data: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("data.csv", data)
        archive.writestr("__MACOSX/._data.csv", b"\0\0")
    return sink.getvalue()


def behind_banner(rows: list[Row]) -> bytes:
    return b"a banner\n" + as_csv(rows, "\t")


def as_lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps({"d": row}).encode() + b"\n" for row in rows)


FORMATS: Final[Mapping[str, tuple[str, Callable[[list[Row]], bytes]]]] = {
    "csv": ('format = "csv"', as_csv),
    "csv with tabs, found header": ('format = "csv"\ndelimiter = "\\t"\nheader = "find"', behind_banner),
    "zip": ('format = "csv"', lambda rows: zipped(as_csv(rows))),
    "gzip": ('format = "csv"', lambda rows: gzip.compress(as_csv(rows), mtime=0)),
    "zst": ('format = "csv"', lambda rows: pa.compress(as_csv(rows), codec="zstd", asbytes=True)),
    "jsonl": ('format = "jsonl"\nrecord_path = "d"', as_lines),
    "json": ('format = "json"\nrecord_path = "data.list"', lambda rows: json.dumps({"data": {"list": rows}}).encode()),
    "columnar json": ('format = "json"\ncolumnar = true\nrecord_path = "data"', as_columns),
    "parquet": ('format = "parquet"', lambda rows: as_frame(rows, "parquet")),
    "feather": ('format = "feather"', lambda rows: as_frame(rows, "feather")),
}  # fmt: skip


@cache
def mapping(folder: Path, name: str) -> FileMapping:
    text = fixture.LONG.replace('format = "csv"', FORMATS[name][0], 1).replace('"*.csv"', '"data"')
    path = folder / f"{abs(hash(name))}.toml"
    path.write_text(text, encoding="utf-8")
    return load_mapping(path, contract=fixture.contract())


def counted(folder: Path, name: str, data: bytes) -> int | None:
    """Rows, rejects and ignored records of `data`, None if it was refused; -1 if the refusal names no file."""
    path = folder / "landed"
    path.write_bytes(data)
    total = 0
    try:
        for batch in parse(fixture.landing(path, "data"), mapping(folder, name), fixture.contract()):
            if batch.table != "instruments":
                total += batch.rows.height + batch.rejects.height + batch.null_cells.height
                total += sum(batch.left_out.ignored.values())
    except (SourceFormatError, LimitError) as error:
        return None if str(error).startswith(("data", "a record")) else -1
    return total


def fuzz(folder: Path, name: str, *, files: int, every: int = 1) -> None:
    """Files with each of the defects; with `every`, only one of so many of them, others in each format."""
    first = list(FORMATS).index(name) % every
    before = 1 if "found header" in name else 0
    for number in range(files):
        for defect, change in list(DEFECTS.items())[first::every]:
            rng = random.Random(f"{name} {defect} {number}")
            rows = rows_of(rng)
            change(rng, rows)
            assert counted(folder, name, FORMATS[name][1](rows)) == ROWS + before, f"{name}, {defect}, {number}"
        for defect, spoil in list(BYTES.items())[first::every]:
            rng = random.Random(f"{name} {defect} {number}")
            assert counted(folder, name, spoil(rng, FORMATS[name][1](rows_of(rng)))) != -1, (
                f"{name}, {defect}, {number}"
            )
        for defect, what in NO_TEXT.items() if name in LINES else ():
            rng = random.Random(f"{name} {defect} {number}")
            data = FORMATS[name][1](rows_of(rng))
            place = rng.randrange(LINES[name], len(data))
            assert counted(folder, name, data[:place] + what + data[place:]) == ROWS + before, (
                f"{name}, {defect}, {number}"
            )


@pytest.mark.parametrize("name", FORMATS)
def test_every_record_is_a_row_a_reject_or_ignored(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, files=1, every=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_every_record_of_many_files_is_a_row_a_reject_or_ignored(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, files=200)


@pytest.mark.parametrize("name", ["jsonl", "json"])
def test_a_record_without_a_key_costs_itself_only(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    rows = rows_of(rng)
    lacks("oi")(rng, rows)
    assert counted(tmp_path, name, FORMATS[name][1](rows)) == ROWS


@pytest.mark.parametrize(
    "text",
    [
        b'{"data\xff\xfe": {"list": [{"symbol": "BTCUSDT"}]}}',
        b'{"symbol": "\xff", "data": {"list": [{"time": "x"}]}}',
        b'{"value": -, "data": {"list": [{"time": "x"}]}}',
        b'{"data": \xff{"list": 5}}',
    ],
)
def test_bytes_that_are_no_text_around_the_records_refuse_the_file_in_words(tmp_path: Path, text: bytes) -> None:
    assert counted(tmp_path, "json", text) is None
