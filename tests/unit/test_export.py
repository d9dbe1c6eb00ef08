"""Clean tables, ledger and statistics as Parquet: the rows and types of the working database."""

from __future__ import annotations

from pathlib import Path

import duckdb
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.core.settings import Settings
from pipelines.storage.export import EXPORTED
from pipelines.storage.warehouse import writer

ROW = (
    "insert into clean.open_interest values ('bybit', 'BTCUSDT', '1d', timestamp '2024-01-02', 1.5, null, 1.5, 'base', "
    "'one_sided', date '2024-01-01', 'bybit.open_interest', 'a', timestamp '2024-01-02', timestamp '2024-01-03')"
)


def test_every_table_is_a_file_with_its_rows_and_types(settings: Settings, tmp_path: Path) -> None:
    with writer(settings, what="test") as con:
        con.execute(ROW)
        tables = con.execute(
            "select schema_name, table_name from duckdb_tables() where schema_name in ('clean', 'ops', 'stats')"
        ).fetchall()
        types = [row[:2] for row in con.execute("describe clean.open_interest").fetchall()]
    assert {schema for schema, _ in tables} == set(EXPORTED)
    folder = tmp_path / "it's an export"
    for _ in range(2):
        done = CliRunner().invoke(app, ["export", str(folder)])
        assert done.exit_code == 0, done.output
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == sorted(
        f"{schema}/{table}.parquet" for schema, table in tables
    )
    with duckdb.connect() as con:
        found = con.read_parquet(str(folder / "clean" / "open_interest.parquet"))
        assert [(name, str(kind)) for name, kind in zip(found.columns, found.types, strict=True)] == types
        assert [row[:5] for row in found.fetchall()] == [
            ("bybit", "BTCUSDT", "1d", duckdb.sql("select timestamp '2024-01-02'").fetchall()[0][0], 1.5)
        ]
