"""A warehouse on both engines: the working file of a demo, its export, and what Spark makes of that. No expectations here."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import duckdb

from pipelines.core.settings import PROJECT_ROOT
from pipelines.storage.export import export_parquet

PROJECT: Final = PROJECT_ROOT / "dbt_project"
RUN_DBT: Final = Path(__file__).with_name("run_dbt.py")
LISTS: Final = ("sources", "venues", "excluded_venues")
"""Columns with texts joined as they come, in any order."""

CONF: Final = """
spark.master local[2]
spark.driver.memory 3g
spark.driver.bindAddress 127.0.0.1
spark.driver.host 127.0.0.1
spark.ui.enabled false
spark.sql.adaptive.enabled false
spark.sql.shuffle.partitions 2
spark.sql.warehouse.dir {folder}/spark
spark.hadoop.javax.jdo.option.ConnectionURL jdbc:derby:;databaseName={folder}/metastore;create=true
spark.driver.extraJavaOptions -Dderby.system.home={folder}
"""


@dataclass(frozen=True)
class Engines:
    """`database` is DuckDB's working file, named leverhouse.duckdb as its models expect; everything else lies beside it."""

    folder: Path
    project: Path = PROJECT

    @property
    def database(self) -> Path:
        return self.folder / "leverhouse.duckdb"

    @property
    def parquet(self) -> Path:
        return self.folder / "export"

    def export(self) -> None:
        with duckdb.connect(str(self.database), read_only=True) as con:
            export_parquet(con, self.parquet)

    def spark(self, *commands: str) -> str:
        """Run dbt commands on Spark, all in one session; returns what they print. Raises AssertionError if one fails."""
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "spark-defaults.conf").write_text(CONF.format(folder=self.folder))
        return self._run(
            [sys.executable, str(RUN_DBT), str(self.project), str(self.folder / "target"), *commands],
            DBT_TARGET="spark", LEVERHOUSE_PARQUET=str(self.parquet), SPARK_CONF_DIR=str(conf), SPARK_LOCAL_IP="127.0.0.1",
        )  # fmt: skip

    def duckdb(self, *arguments: str) -> str:
        """Run one dbt command on DuckDB."""
        return self._run(
            [sys.executable, "-m", "dbt.cli.main", *arguments, "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
             "--target-path", str(self.folder / "target-duckdb"), "--log-path", str(self.folder / "logs")],
            DBT_TARGET="duckdb", LEVERHOUSE_DATABASE=str(self.database),
        )  # fmt: skip

    def _run(self, command: list[str], **variables: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEVERHOUSE_", "DBT_"))}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=kept | variables | {"DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout

    def load(self, days: dict[date, str], table: str = "open_interest") -> None:
        """Change the clean rows of days by SQL, as a load does: every day with a line of its own in the ledger."""
        with duckdb.connect(str(self.database)) as con:
            names = [row[0] for row in con.execute("describe ops.loads").fetchall()]
            for day, sql in days.items():
                con.execute(sql, {"day": day})
                told = ", ".join(
                    {"load_seq": "(select max(load_seq) + 1 from ops.loads)", "trade_date": f"date '{day}'"}.get(
                        name, name
                    )
                    for name in names
                )
                con.execute(f"insert into ops.loads select {told} from ops.loads where table_name = ? limit 1", [table])


def differences(engines: Engines, schema: str, table: str) -> list[str]:
    """How a table of Spark differs from DuckDB's: rows of other keys, and doubles off by more than 1e-9 of the value and 1e-12.

    Rows are paired by everything but their doubles, equal ones in the order of those.
    """
    files = [str(path) for path in (engines.folder / "spark" / f"{schema}.db" / table).rglob("*.parquet")]
    if not files:
        return [f"{schema}.{table}: not on Spark"]
    with duckdb.connect() as con:
        con.execute(f"attach '{engines.database}' as duck (read_only)")
        con.execute(f"create table here as select * from duck.{schema}.{table}")
        con.from_parquet(files, hive_partitioning=True).create("there")
        columns = [(name, kind) for name, kind, *_ in con.execute("describe here").fetchall()]
        doubles = [name for name, kind in columns if kind == "DOUBLE"]
        keys = [name for name, _ in columns if name not in doubles]
        told = [
            f"list_sort(string_split(\"{name}\", ','))" if name in LISTS else f'"{name}"' for name in keys
        ]  # fmt: skip
        order = ", ".join(f'"{name}"' for name in doubles) or "1"
        for side in ("here", "there"):
            con.execute(_paired(side, told, doubles, order))
        same = " and ".join(f"h.k{n} is not distinct from t.k{n}" for n in [*range(len(told)), "_number"])
        found = []
        for one, other, what in (("here", "there", "on DuckDB only"), ("there", "here", "on Spark only")):
            [(rows,)] = con.execute(
                f"select count(*) from {one}_paired as h anti join {other}_paired as t on {same}"
            ).fetchall()
            if rows:
                found.append(f"{schema}.{table}: {rows} rows {what}")
        for n, name in enumerate(doubles):
            [(rows,)] = con.execute(
                f"select count(*) from here_paired as h join there_paired as t on {same} "
                f"where (h.v{n} is null) <> (t.v{n} is null) or abs(h.v{n} - t.v{n}) > 1e-12 + 1e-9 * abs(h.v{n})"
            ).fetchall()
            if rows:
                found.append(f"{schema}.{table}.{name}: {rows} values differ")
        return found


def _paired(side: str, keys: list[str], doubles: list[str], order: str) -> str:
    told = ", ".join(f"{key} as k{n}" for n, key in enumerate(keys))
    values = "".join(f', "{name}" as v{n}' for n, name in enumerate(doubles))
    number = f"row_number() over (partition by {', '.join(keys)} order by {order}) as k_number"
    return f"create table {side}_paired as select {told}, {number}{values} from {side}"
