"""dbt as the tests run it: the real project on a warehouse of the test's own, from the one parse that all tests share.

It runs in the process of the test, as `leverhouse` runs it: a dbt of its own would first load and parse for ten seconds.
No expectations here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from pipelines.core.paths import environment
from pipelines.core.settings import PROJECT_ROOT
from pipelines.operations.build import load_parsed

PROJECT = PROJECT_ROOT / "dbt_project"
SCHEMA = PROJECT_ROOT / "warehouse" / "schema"


@dataclass(frozen=True)
class Outcome:
    """Whether a command succeeded, and the errors that it told."""

    success: bool
    errors: str


@dataclass(frozen=True)
class Dbt:
    """The dbt command on the database in `folder`; its artifacts go to `target`. `parsed` is the manifest it runs from."""

    folder: Path
    parsed: Path

    @property
    def database(self) -> Path:
        return self.folder / "leverhouse.duckdb"

    @property
    def target(self) -> Path:
        return self.folder / "target"

    def __call__(self, *arguments: str) -> Outcome:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.adapters.factory import reset_adapters
        from dbt.cli.main import dbtRunner

        errors: list[str] = []

        def note(event: Any) -> None:
            if event.info.level == "error":
                errors.append(event.info.msg)

        with environment(LEVERHOUSE_DATABASE=str(self.database)), warnings.catch_warnings():
            # What dbt and its packages warn of is no fault of the project.
            warnings.simplefilter("ignore")
            try:
                outcome = dbtRunner(load_parsed(self.parsed), callbacks=[note]).invoke(
                    ["--log-level", "none", "--log-level-file", "none", *arguments, "--project-dir", str(PROJECT),
                     "--profiles-dir", str(PROJECT), "--target-path", str(self.target)],
                )  # fmt: skip
            finally:
                reset_adapters()
                DuckDBConnectionManager.close_all_connections()
        return Outcome(outcome.success, "\n".join([*errors, str(outcome.exception or "")])[-6000:])

    def succeed(self, *arguments: str) -> None:
        outcome = self(*arguments)
        assert outcome.success, outcome.errors

    def results(self) -> Sequence[Mapping[str, Any]]:
        """What the last command did with each node, without its hooks."""
        results: list[dict[str, Any]] = json.loads((self.target / "run_results.json").read_bytes())["results"]
        return [result for result in results if not result["unique_id"].startswith("operation.")]

    def manifest(self) -> Mapping[str, Any]:
        manifest: dict[str, Any] = json.loads(self.parsed.read_bytes())
        return manifest

    def copy(self, folder: Path) -> Dbt:
        """The same warehouse once more, to be changed."""
        made = Dbt(folder, self.parsed)
        made.database.write_bytes(self.database.read_bytes())
        return made

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


DbtIn = Callable[[Path], Dbt]
"""dbt on the database of a folder."""
