"""Incremental models of the working database: which version each was built by, and dropping one to have it built whole."""

from __future__ import annotations

import duckdb

from pipelines.storage.query import transaction


def recorded_sql_versions(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The version of the SQL that each model was last built by, where it is known."""
    return dict(
        con.execute(
            "select model, arg_max(sql_version, load_seq) from ops.model_watermarks where sql_version is not null group by model"
        ).fetchall()
    )


def record_sql_version(con: duckdb.DuckDBPyConnection, name: str, version: str) -> None:
    """Record that the model `schema.name` is built by this version."""
    con.execute(
        "update ops.model_watermarks as w set sql_version = $version where w.model = $model and w.load_seq = "
        "(select max(load_seq) from ops.model_watermarks where model = $model) and sql_version is distinct from $version",
        {"model": name.partition(".")[2], "version": version},
    )


def drop_model(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Drop the table `schema.name` with its watermarks; return whether there was one."""
    schema, _, model = name.partition(".")
    exists = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ?",
        [schema, model],
    ).fetchall()
    if not exists:
        return False
    with transaction(con):
        con.execute(f"drop table {schema}.{model}")
        con.execute("delete from ops.model_watermarks where model = ?", [model])
    return True
