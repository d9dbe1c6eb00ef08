"""Writes docs/mapping.md: the keys of a mapping, from the model, and the built-in mappings."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Final

from pipelines.sources.files import mapping as model
from pipelines.sources.files.vendors import about, vendor_mapping, vendor_names
from pipelines.sources.files.vendors.examples import EXAMPLES

PAGE: Final = Path(__file__).parents[1] / "docs" / "mapping.md"

SECTIONS: Final[dict[str, type[model.Part]]] = {
    "The mapping": model.Mapping,
    "[[file]]": model.File,
    "[file.time], and time inside a cell": model.Time,
    "[file.wide]": model.Wide,
    "[[file.skip]]": model.Skip,
    "[[file.distrust]]": model.Distrust,
    "[[file.rows]]": model.Rows,
    "time of [[file.rows]]": model.TimeChange,
    "available": model.Available,
    "[file.rows.columns]": model.Cell,
    "where": model.Where,
    "adjust": model.Adjust,
    "[[instrument]]": model.Instrument,
    "[[ignore]]": model.Ignored,
    "[[gap]]": model.Gap,
    "[[span]]": model.Span,
    "[[accept]]": model.Accept,
}
HEAD: Final = """# Mappings

A mapping is a TOML file that says what the columns of files are. `leverhouse mapping propose FILE...` writes one: what a file says
is read off it, what it cannot say is asked for by options. `leverhouse import --vendor NAME FILE...` uses one of those below.
This page is made from the model by `python scripts/mapping_page.py`.

"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for title, section in SECTIONS.items():
        text = inspect.cleandoc(section.__doc__ or "")
        parts.append(f"## {title}\n\n{text}\n\n| key | needed |\n|---|---|\n")
        fields = {
            field.alias or name: field for name, field in section.model_fields.items() if name not in {"path", "text"}
        }
        parts += [f"| `{key}` | {'yes' if field.is_required() else 'no'} |\n" for key, field in fields.items()]
        parts.append("\n")
    parts.append("## Built-in mappings\n\n")
    for name in vendor_names():
        parts.append(f"### {name}\n\n{about(vendor_mapping(name))}\n\n")
        parts.append(_example(name))
    return "".join(parts).rstrip("\n") + "\n"


def _example(vendor: str) -> str:
    """The worked example of a vendor: command, file and row."""
    name, content, (table, row) = EXAMPLES[vendor]
    lines = "".join(f"    {line}\n" for line in content.rstrip("\n").split("\n"))
    values = ", ".join(f"{column} = {value}" for column, value in row.items())
    return (
        f"For example `{name}`:\n\n{lines}\n"
        f"With `leverhouse import --vendor {vendor} {name}` a row of `{table}` has {values}.\n\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
