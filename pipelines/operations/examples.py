"""The example queries of dbt_project/analyses, rendered for the published file. Opens no database, runs no dbt.

Each starts with a comment: the question, the unit of the answer and how far to trust it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.errors import ContractError

_HEAD = re.compile(
    r"-- Question: (?P<question>.+?)\n-- Unit: (?P<unit>.+?)\n-- Trust: (?P<trust>.+?)\n(?=[^-])", re.DOTALL
)
_REF = re.compile(r"\{\{ ref\('(\w+)'\) \}\}")


@dataclass(frozen=True)
class Example:
    """One query with its name and the parts of its opening comment. `query` uses the table names of the published file."""

    name: str
    question: str
    unit: str
    trust: str
    query: str


def load_examples(dbt_project: Path) -> Mapping[str, Example]:
    """Examples by name, sorted by name.

    Raises ContractError if one does not start with question, unit and trust, or uses dbt functions other than ref().
    """
    examples = [_read(path) for path in sorted((dbt_project / "analyses").glob("*.sql"))]
    return {example.name: example for example in examples}


def _read(path: Path) -> Example:
    text = path.read_text(encoding="utf-8")
    head = _HEAD.match(text)
    if head is None:
        raise ContractError(f"{path.name}: must start with a comment of three parts: Question:, Unit:, Trust:")
    query = _REF.sub(r"marts.\1", text[head.end() :])
    if "{{" in query or "{%" in query:
        raise ContractError(f"{path.name}: an example may use no dbt function but ref(), so that it runs without dbt")
    comment = {part: " ".join(text.replace("\n-- ", " ").split()) for part, text in head.groupdict().items()}
    return Example(name=path.stem, query=query, **comment)
