"""What a build did: the result of every model, seed and test, and the errors that a build ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pipelines.core.errors import PermanentError
from pipelines.core.files import as_error, fault_in_text

Status = Literal["success", "warn", "fail", "error", "skipped"]

STATUS: Final[Mapping[str, Status]] = {
    "success": "success",
    "pass": "success",
    "warn": "warn",
    "fail": "fail",
    "error": "error",
    "runtime error": "error",
    "skipped": "skipped",
    "partial success": "error",
    "no-op": "success",
}
"""How dbt says what became of a node."""


@dataclass(frozen=True)
class NodeResult:
    """Result of one model, seed or test: `rows` of tables, `failures` and a `sample` of tests."""

    unique_id: str
    name: str
    kind: str
    status: Status
    seconds: float
    message: str
    rows: int | None = None
    failures: int | None = None
    sample: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class BuildReport:
    """Results in the order in which the nodes finished."""

    nodes: tuple[NodeResult, ...]
    seconds: float

    @property
    def models(self) -> tuple[NodeResult, ...]:
        return tuple(node for node in self.nodes if node.kind in {"model", "seed", "snapshot"})

    @property
    def tests(self) -> tuple[NodeResult, ...]:
        return tuple(node for node in self.nodes if node.kind == "test")

    @property
    def faults(self) -> tuple[NodeResult, ...]:
        """Nodes that make the build fail: errors, and failed tests of severity error."""
        return tuple(node for node in self.nodes if node.status in {"fail", "error"})

    def after(self, earlier: BuildReport | None) -> BuildReport:
        """This report with the nodes of an earlier one that it does not name: a build is two runs of dbt."""
        if earlier is None:
            return self
        mine = {node.unique_id for node in self.nodes}
        kept = (node for node in earlier.nodes if node.unique_id not in mine)
        return BuildReport(nodes=(*kept, *self.nodes), seconds=earlier.seconds + self.seconds)

    def raise_faults(self) -> None:
        """Raise one error naming the failed nodes, if there are any; a fault of this machine as that."""
        if not self.faults:
            return
        told = next(filter(None, (fault_in_text(node.message) for node in self.faults)), None)
        if told is not None:
            raise as_error(told, home=Path("LEVERHOUSE_HOME"))
        skipped = sum(node.status == "skipped" for node in self.nodes)
        lines = "\n".join(f"{node.kind} {node.name}: {node.message}" for node in self.faults[:10])
        more = f"\nand {len(self.faults) - 10} more" if len(self.faults) > 10 else ""
        raise BuildError(
            f"dbt: {len(self.faults)} of {len(self.nodes)} nodes failed, {skipped} were skipped; nothing was "
            f"published.\n"
            f"{lines}{more}\nCorrect the model or the data and build again."
        )


class BuildError(PermanentError):
    """dbt could not build a model, or a blocking test failed. The published snapshot is unchanged."""

    exit_code = 65


class BuildBrokenError(PermanentError):
    """dbt itself could not run: invalid project or profile."""

    exit_code = 70
