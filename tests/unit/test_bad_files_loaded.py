"""Bad files loaded end to end: refused as a whole or quarantined row by row, without any other change.

test_files_bad_input tests how each fault is detected and reported; these tests check the warehouse and the rest of the disk.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import LeverhouseError
from pipelines.core.settings import Settings
from pipelines.operations.load import import_files, load_pending
from pipelines.storage.warehouse import writer
from tests.unit.files_fixture import GOOD_ROW, LONG, LONG_HEADER

GOOD = LONG_HEADER + GOOD_ROW
OTHER = GOOD_ROW.replace("00:05", "00:10")


def zipped(name: str, content: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


REFUSED: dict[str, bytes] = {
    "wrong delimiter": GOOD.replace(",", ";").encode(),
    "extra column": GOOD.replace("value\n", "value,more\n").replace("60000\n", "60000,1\n").encode(),
    "missing column": b"symbol,time,oi\nBTCUSDT,2024-01-01 00:05:00,1\n",
    "endless line": (GOOD + "BTCUSDT," + "1" * (2 << 20)).encode(),
    "zip bomb": zipped("bomb.csv", LONG_HEADER + GOOD_ROW * 2_000_000),
    "path traversal": zipped("../../evil.csv", GOOD),
    "not text": b"\x00\x01\x02",
    "damaged gzip": gzip.compress(GOOD.encode())[:-8],
}

# Rows after a valid first row; received, accepted, duplicates, quarantined.
QUARANTINED: dict[str, tuple[str, tuple[int, int, int, int]]] = {
    "a last row that is cut off": ("ETHUSDT,2024-01-01 00:0", (2, 1, 0, 1)),
    "a row of one cell": (f"BTCUSDT\n{OTHER}", (3, 2, 0, 1)),
    "text in a number": (OTHER.replace("1.5", "abc"), (2, 1, 0, 1)),
    "infinite": (OTHER.replace("1.5", "inf"), (2, 1, 0, 1)),
    "negative": (OTHER.replace("1.5", "-1.5"), (2, 1, 0, 1)),
    "the same row twice": (GOOD_ROW, (2, 1, 1, 0)),
    "one stamp with two values": (GOOD_ROW.replace("1.5", "2.5"), (2, 0, 0, 2)),
    "a symbol that is a path": (OTHER.replace("BTCUSDT", "../../x"), (2, 1, 0, 1)),
    "a symbol that is SQL": (OTHER.replace("BTCUSDT", "'; drop table clean.candles; --"), (2, 1, 0, 1)),
}


@pytest.fixture
def files_outside(tmp_path: Path) -> Callable[[], dict[str, bytes | None]]:
    """All files on disk outside the warehouse."""

    def read_files() -> dict[str, bytes | None]:
        return {
            str(path.relative_to(tmp_path)): path.read_bytes() if path.is_file() else None
            for path in sorted(tmp_path.rglob("*"))
            if not path.is_relative_to(tmp_path / "outer" / "home")
        }

    return read_files


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home two folders deep, so that path traversal out of it is detected."""
    return Settings(home=tmp_path / "outer" / "home")


def import_(settings: Settings, mapping: Path, file: Path) -> None:
    import_files(settings, mapping, files=[file])
    load_pending(settings, gate=lambda con, inputs: []).raise_failures()


def prepare(tmp_path: Path, name: str, content: bytes) -> tuple[Path, Path]:
    (tmp_path / "outer").mkdir()
    mapping, file = tmp_path / "mapping.toml", tmp_path / name
    mapping.write_text(LONG, encoding="utf-8")
    file.write_bytes(content)
    return mapping, file


def counts(settings: Settings) -> tuple[list[tuple[int, ...]], int, int]:
    """Counts of ops.loads for open interest, rows in the clean table, and the number of clean tables."""
    with writer(settings, what="test") as con:
        loads = con.execute(
            "select sum(received)::bigint, sum(accepted)::bigint, sum(duplicates)::bigint, sum(quarantined)::bigint "
            "from ops.loads where table_name = 'open_interest' having count(*) > 0"
        ).fetchall()
        ((held,),) = con.execute("select count(*) from clean.open_interest").fetchall()
        ((tables,),) = con.execute("select count(*) from duckdb_tables() where schema_name = 'clean'").fetchall()
    return loads, held, tables


@pytest.mark.parametrize("fault", REFUSED)
def test_a_refused_file_changes_no_table_and_no_file_outside_the_home(
    fault: str, settings: Settings, tmp_path: Path, files_outside: Callable[[], dict[str, bytes | None]]
) -> None:
    mapping, file = prepare(tmp_path, "data.csv", GOOD.encode())
    import_(settings, mapping, file)
    file.write_bytes(REFUSED[fault])
    before, loaded = files_outside(), counts(settings)
    with pytest.raises(LeverhouseError, match=r"data\.csv"):
        import_(settings, mapping, file)
    assert counts(settings) == loaded
    assert files_outside() == before


@pytest.mark.parametrize("fault", QUARANTINED)
def test_a_bad_row_is_quarantined_and_no_file_outside_the_home_changes(
    fault: str, settings: Settings, tmp_path: Path, files_outside: Callable[[], dict[str, bytes | None]]
) -> None:
    row, expected = QUARANTINED[fault]
    mapping, file = prepare(tmp_path, "data.csv", (GOOD + row).encode())
    before = files_outside()
    import_(settings, mapping, file)
    loads, held, tables = counts(settings)
    assert (loads, held) == ([expected], expected[1])
    assert tables == len(load_contract(settings.schema_dir).clean)
    with writer(settings, what="test") as con:
        kept = con.execute("select count(*) from ops.quarantine where raw <> ''").fetchall()
    assert kept == [(expected[3],)]
    assert files_outside() == before


@pytest.mark.parametrize("name", ["'; drop table clean.candles; --.csv", "..csv", "a b\tc.csv", "ä→.csv"])
def test_a_file_of_any_name_is_loaded_and_stays_inside_the_home(
    name: str, settings: Settings, tmp_path: Path, files_outside: Callable[[], dict[str, bytes | None]]
) -> None:
    mapping, file = prepare(tmp_path, name, GOOD.encode())
    before = files_outside()
    import_(settings, mapping, file)
    assert counts(settings)[:2] == ([(1, 1, 0, 0)], 1)
    assert files_outside() == before


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_byte_order_marks_and_crlf_are_accepted(mark: bytes, end: bytes, settings: Settings, tmp_path: Path) -> None:
    import_(settings, *prepare(tmp_path, "data.csv", mark + (GOOD + OTHER).encode().replace(b"\n", end)))
    assert counts(settings)[:2] == ([(2, 2, 0, 0)], 2)
