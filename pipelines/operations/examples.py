"""The example queries of dbt_project/analyses, as a reader of the published file runs them. Opens no database, runs no dbt.

Each opens with a comment that says what an analyst asks, the unit of the answer and how far to trust it.
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
    """One query, its name, and what its opening comment says. `query` names tables as the published file does."""

    name: str
    question: str
    unit: str
    trust: str
    query: str


def load_examples(dbt_project: Path) -> Mapping[str, Example]:
    """Examples by name, in the order of their names.

    Raises ContractError where one does not open with question, unit and trust, or uses more of dbt than ref().
    """
    examples = [_read(path) for path in sorted((dbt_project / "analyses").glob("*.sql"))]
    return {example.name: example for example in examples}


def _read(path: Path) -> Example:
    text = path.read_text(encoding="utf-8")
    head = _HEAD.match(text)
    if head is None:
        raise ContractError(f"{path.name}: open it with a comment of three parts: Question:, Unit:, Trust:")
    query = _REF.sub(r"marts.\1", text[head.end() :])
    if "{{" in query or "{%" in query:
        raise ContractError(f"{path.name}: an example may use ref() and no more of dbt, so that anybody can run it")
    said = {part: " ".join(words.replace("\n-- ", " ").split()) for part, words in head.groupdict().items()}
    return Example(name=path.stem, query=query, **said)
