"""Which incremental models were built from other SQL, macros, thresholds or seeds than those of now: they are built whole.

Everything else that dbt builds is built whole each time. Callers hold the writer lock.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from pipelines.core.settings import Settings
from pipelines.storage.database import open_database
from pipelines.storage.models import drop_model, record_sql_version, recorded_sql_versions

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_COMMENT: Final = re.compile(r"\{#.*?#\}", re.DOTALL)
_OURS: Final = "macro.leverhouse."
_VARIABLES: Final = "var("


def sql_versions(manifest: Manifest, project: Path) -> dict[str, str]:
    """A digest for each incremental model, by `schema.name`, of all that decides its rows besides the clean tables.

    That is its SQL, the macros it calls, the models and seeds it reads, up to the clean tables, and the variables of the project
    if any of them reads one. Comments do not count.
    """
    variables = yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8")).get("vars", {})
    given = json.dumps(variables, sort_keys=True, default=str)
    versions = {}
    for node in manifest.nodes.values():
        if node.resource_type == "model" and node.config.materialized == "incremental":
            texts = dict(sorted(_texts(manifest, node.unique_id, set())))
            if any(_VARIABLES in text for text in texts.values()):
                texts["vars"] = given
            told = json.dumps(texts, sort_keys=True)
            versions[f"{node.schema}.{node.name}"] = hashlib.sha256(told.encode()).hexdigest()[:16]
    return versions


def drop_outdated_models(settings: Settings, versions: Mapping[str, str]) -> list[str]:
    """Drop the incremental models that were built by another version than the one in `versions`, or by an unknown one, so that
    dbt builds them whole; return their names."""
    con = open_database(settings)
    try:
        recorded = recorded_sql_versions(con)
        outdated = [name for name, version in versions.items() if recorded.get(name.split(".")[1]) != version]
        return [name for name in outdated if drop_model(con, name)]
    finally:
        con.close()


def record_sql_versions(settings: Settings, versions: Mapping[str, str]) -> None:
    """Record by which version models were built, once they were."""
    con = open_database(settings)
    try:
        for name, version in versions.items():
            record_sql_version(con, name, version)
    finally:
        con.close()


def _texts(manifest: Manifest, unique_id: str, seen: set[str]) -> Iterator[tuple[str, str]]:
    """The SQL of a node, of the macros it calls and of what it reads, by id; of a seed the digest of its file."""
    if unique_id in seen:
        return
    seen.add(unique_id)
    found: Any = manifest.macros.get(unique_id) or manifest.nodes.get(unique_id)
    if found is None:
        # A table of the contract, or a macro of dbt itself.
        return
    if found.resource_type == "seed":
        yield unique_id, str(found.checksum.checksum)
        return
    is_macro = unique_id in manifest.macros
    yield unique_id, _COMMENT.sub("", found.macro_sql if is_macro else found.raw_code)
    for macro in found.depends_on.macros:
        if macro.startswith(_OURS):
            yield from _texts(manifest, macro, seen)
    for node in () if is_macro else found.depends_on.nodes:
        yield from _texts(manifest, node, seen)
