"""dbt as the tests call it: the real project on a warehouse of the test's own. No expectations here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.contract.ddl import apply_ddl, load_contract

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "dbt_project"
SCHEMA = ROOT / "warehouse" / "schema"


@dataclass(frozen=True)
class Dbt:
    """The dbt command on one database; artifacts go to `target`, which parses once for all commands."""

    database: Path
    target: Path

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dbt.cli.main", "--no-use-colors", *arguments, "--project-dir", str(PROJECT),
             "--profiles-dir", str(PROJECT), "--target-path", str(self.target), "--log-path", str(self.target)],
            env={**os.environ, "LEVERHOUSE_DATABASE": str(self.database)},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip

    def succeed(self, *arguments: str) -> None:
        done = self(*arguments)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]

    def artifact(self, name: str) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.target / f"{name}.json").read_text(encoding="utf-8"))
        return loaded

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        con = duckdb.connect(str(self.database))
        try:
            con.execute("set TimeZone = 'UTC'")
            yield con
        finally:
            con.close()

    def rows(self, query: str) -> Sequence[tuple[Any, ...]]:
        with self.connection() as con:
            return con.execute(query).fetchall()


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """dbt on a warehouse that has its clean and ops tables and no rows."""
    folder = tmp_path_factory.mktemp("dbt")
    made = Dbt(database=folder / "leverhouse.duckdb", target=folder / "target")
    with made.connection() as con:
        apply_ddl(con, load_contract(SCHEMA))
    return made
