"""Writes tests/dbt/compiled: the SQL of every mart as dbt compiles it for DuckDB, so that a review shows what a changed macro does.

How a mart is compiled is dbt's business; here is only how the text is laid out and where it is kept.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "dbt_project" / "target"
SNAPSHOTS: Final = ROOT / "tests" / "dbt" / "compiled"

Manifest = Mapping[str, Any]


def snapshots(manifest: Manifest, target: Path) -> Mapping[str, str]:
    """The readable SQL of every mart by its name, from what dbt compiled into `target`."""
    return {
        node["name"]: readable((target / "compiled" / "leverhouse" / node["original_file_path"]).read_text("utf-8"))
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] == "marts"
    }


def kept() -> Mapping[str, str]:
    """The snapshots as they are written."""
    return {path.stem: path.read_text("utf-8") for path in SNAPSHOTS.glob("*.sql")}


def readable(compiled: str) -> str:
    """Tables without the name of the database, lines without what Jinja left at their ends, no two empty lines in a row."""
    named = re.sub(r'"\w+"\."(\w+)"\."(\w+)"', r"\1.\2", compiled)
    lines = "\n".join(line.rstrip() for line in named.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


def main() -> int:
    """Write the snapshots and remove those of marts that are gone."""
    manifest: Manifest = json.loads((TARGET / "manifest.json").read_text("utf-8"))
    now = snapshots(manifest, TARGET)
    SNAPSHOTS.mkdir(exist_ok=True)
    for name in kept().keys() - now.keys():
        (SNAPSHOTS / f"{name}.sql").unlink()
    for name, text in now.items():
        (SNAPSHOTS / f"{name}.sql").write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
