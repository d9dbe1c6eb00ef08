"""Which models a build has to build: those that read something which has changed since the last faultless build.

The graph is dbt's own. A table of the contract has changed if its mark has; a model that reads the ledger of loads seldom has other
rows than before, so it is built first, and what reads it only where its rows are others. No SQL here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

LEDGER: Final = "ops"
"""Source of the ledger of loads: its tables change with every load."""

STATISTICS: Final = "stats"

_CLOCK: Final = re.compile(
    r"\b(now\s*\(|current_timestamp|current_date|localtimestamp|today\s*\(|get_current_time)", re.IGNORECASE
)
_WATERMARK: Final = "default__keep_watermark"
"""The macro that notes when an incremental model was built; no row of a model depends on it."""


@dataclass(frozen=True)
class Graph:
    """Models, sources and tests of the project by dbt's unique id, with what reads each."""

    manifest: Manifest
    readers: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, manifest: Manifest) -> Graph:
        """The graph of a manifest, without the edges by which incremental models read their own watermark."""
        readers: dict[str, set[str]] = {}
        for node in manifest.nodes.values():
            if node.resource_type in {"model", "seed", "test"}:
                for parent in node.depends_on_nodes:
                    if not _is_watermark(manifest, node, parent):
                        readers.setdefault(parent, set()).add(node.unique_id)
        return cls(manifest, {parent: frozenset(found) for parent, found in readers.items()})

    def sources(self, schema: str) -> dict[str, str]:
        """The tables of a source as `schema.name`, by unique id."""
        found = (one for one in self.manifest.sources.values() if one.source_name == schema)
        return {one.unique_id: f"{one.schema}.{one.name}" for one in found}

    def downstream(self, of: Iterable[str]) -> set[str]:
        """The models that read any of `of`, themselves or through others."""
        found: set[str] = set()
        waiting = list(of)
        while waiting:
            for reader in self.readers.get(waiting.pop(), ()):
                if reader not in found and self._is_model(reader):
                    found.add(reader)
                    waiting.append(reader)
        return found

    def ledger_readers(self, of: Iterable[str]) -> set[str]:
        """The models that read tables of the ledger: views over them, and the first tables behind these."""
        found: set[str] = set()
        waiting = list(of)
        while waiting:
            for reader in self.readers.get(waiting.pop(), ()):
                if reader not in found and self._is_model(reader):
                    found.add(reader)
                    if not self.is_table(reader):
                        waiting.append(reader)
        return found

    def is_table(self, node: str) -> bool:
        return self.manifest.nodes[node].config.materialized not in {"view", "ephemeral"}

    def relation(self, node: str) -> str:
        """The table or view of a model as `schema.name`."""
        found: Any = self.manifest.nodes[node]
        return f"{found.schema}.{found.alias}"

    def relations(self) -> set[str]:
        """All tables and views that a build makes."""
        made = (node for node in self.manifest.nodes.values() if node.resource_type in {"model", "seed"})
        return {self.relation(node.unique_id) for node in made if node.config.materialized != "ephemeral"}

    def evidence(self) -> set[str]:
        """The models that read statistics, themselves or through others."""
        return self.downstream(self.sources(STATISTICS))

    def names(self, nodes: Iterable[str]) -> list[str]:
        """How dbt is told of nodes."""
        return sorted("fqn:" + ".".join(self.manifest.nodes[node].fqn) for node in nodes)

    def tests_of(self, nodes: Iterable[str]) -> set[str]:
        """The tests that read any of the models."""
        read = (self.readers.get(node, frozenset()) for node in nodes)
        return {reader for found in read for reader in found if self.manifest.nodes[reader].resource_type == "test"}

    def reads_clock(self) -> bool:
        """Whether a model asks for the present time, by itself or by a macro of the project."""
        models = (node.raw_code for node in self.manifest.nodes.values() if node.resource_type == "model")
        macros = (
            macro.macro_sql
            for macro in self.manifest.macros.values()
            if macro.package_name == "leverhouse" and macro.name != _WATERMARK
        )
        return any(_CLOCK.search(text) for text in (*models, *macros))

    def _is_model(self, node: str) -> bool:
        return bool(self.manifest.nodes[node].resource_type == "model")


@dataclass(frozen=True)
class Plan:
    """What a build has to build: `first` the models that read the ledger, then `changed`, whatever the first turn out to be."""

    first: frozenset[str]
    changed: frozenset[str]

    def second(self, graph: Graph, differing: Iterable[str]) -> set[str]:
        """What is built after the first: what has changed, and what reads those of the first whose rows differ."""
        return set(self.changed) | graph.downstream(differing)


def plan(graph: Graph, before: Mapping[str, str], now: Mapping[str, str]) -> Plan:
    """Compare the marks of sources with those of the last faultless build; both know every source."""
    changed = {name for name, mark in now.items() if before.get(name) != mark}
    ledger = changed & set(graph.sources(LEDGER))
    others = graph.downstream(changed - ledger)
    return Plan(frozenset(graph.ledger_readers(ledger) - others), frozenset(others))


def _is_watermark(manifest: Manifest, node: Any, parent: str) -> bool:
    """Whether an incremental model reads a table of the ledger by its macros alone, to find the days that were loaded."""
    source = manifest.sources.get(parent)
    return (
        source is not None
        and source.source_name == LEDGER
        and node.resource_type == "model"
        and node.config.materialized == "incremental"
        and f"source('{LEDGER}'" not in node.raw_code
    )
