"""Writes docs/data_dictionary.md from dbt's manifest: every mart with its grain, key, columns, units, and all thresholds.

What a mart or a column means is written beside the model, its unit and additivity in the column's meta; what those two
words may be, and what they mean, in docs/glossary.md. Here is only how the page is laid out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "dbt_project" / "dbt_project.yml"
MANIFEST = ROOT / "dbt_project" / "target" / "manifest.json"
PAGE = ROOT / "docs" / "data_dictionary.md"
GLOSSARY = ROOT / "docs" / "glossary.md"

Manifest = Mapping[str, Any]

# Folders of models/marts in reading order: what people come for first, what it is made of after it.
SECTIONS = {
    "signals": "The signals of a day. Hypotheses, none of them advice.",
    "trends": "What open interest, funding, liquidations and positioning did over time, across venues.",
    "liquidations": "Where positions were closed by force, and how one closing led to the next.",
    "risk": "How much leverage there is, where it is held, and how the crowd is positioned.",
    "options": "What option books say about fear, hedging and walls.",
    "facts": "What the sources reported, made comparable, before anybody judges it.",
    "reference": "What assets, venues, instruments and thresholds are.",
    "operations": "What the warehouse holds, what it lacks and why.",
}


class VocabularyError(ValueError):
    """A column states no unit or additivity, or one that docs/glossary.md does not list."""


@dataclass(frozen=True)
class Vocabulary:
    """The units and additivities that a column may state, each with its meaning."""

    units: Mapping[str, str]
    additivities: Mapping[str, str]


@dataclass(frozen=True)
class Column:
    name: str
    data_type: str
    description: str
    unit: str
    additivity: str
    is_required: bool


@dataclass(frozen=True)
class Mart:
    name: str
    section: str
    description: str
    key: tuple[str, ...]
    reads: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def grain(self) -> str:
        """The first sentence of the description, without its opening words."""
        return self.description.partition(".")[0].removeprefix("One row per ")


def vocabulary(glossary: str) -> Vocabulary:
    """The tables below "## Units" and "## Additivity" of the glossary's text: word in code, then meaning."""

    def table_below(heading: str) -> Mapping[str, str]:
        section = glossary.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        words = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
        if not words:
            raise VocabularyError(f"docs/glossary.md: no words below ## {heading}")
        return words

    return Vocabulary(units=table_below("Units"), additivities=table_below("Additivity"))


def measure_of(facts: Mapping[str, Any], words: Vocabulary) -> tuple[str, str]:
    """Unit and additivity of a column, as its `config: {meta: {unit: …, additivity: …}}` states them.

    Raises VocabularyError where one is missing or not a word of the glossary.
    """
    meta = facts["config"]["meta"]
    unit, additivity = meta.get("unit"), meta.get("additivity")
    for name, word, allowed in (
        ("unit", unit, words.units),
        ("additivity", additivity, words.additivities),
    ):
        if word not in allowed:
            raise VocabularyError(f"{facts['name']}: {name} is {word!r}; docs/glossary.md lists {', '.join(allowed)}")
    return unit, additivity


def key_of(manifest: Manifest, model_id: str) -> tuple[str, ...]:
    """Columns of the model's test of uniqueness; none where it has no such test."""
    for node in manifest["nodes"].values():
        about = node.get("test_metadata")
        if about is None or node.get("attached_node") != model_id:
            continue
        if about["name"] == "unique_combination":
            return tuple(about["kwargs"]["columns"])
        if about["name"] == "unique":
            return (about["kwargs"]["column_name"],)
    return ()


def marts_of(manifest: Manifest, words: Vocabulary) -> Iterator[Mart]:
    """The marts in the order of the page: sections as listed, names in each."""
    nodes = [n for n in manifest["nodes"].values() if n["resource_type"] == "model" and n["schema"] == "marts"]
    sections = list(SECTIONS)
    for node in sorted(nodes, key=lambda n: (sections.index(_section(n)), n["name"])):
        yield Mart(
            name=node["name"],
            section=_section(node),
            description=node["description"].strip(),
            key=key_of(manifest, node["unique_id"]),
            reads=tuple(sorted(parent.split(".")[2] for parent in node["depends_on"]["nodes"])),
            columns=tuple(_column(facts, words) for facts in node["columns"].values()),
        )


def _column(facts: Mapping[str, Any], words: Vocabulary) -> Column:
    unit, additivity = measure_of(facts, words)
    return Column(
        name=facts["name"],
        data_type=facts["data_type"],
        description=" ".join(facts["description"].split()),
        unit=unit,
        additivity=additivity,
        is_required=any(constraint["type"] == "not_null" for constraint in facts["constraints"]),
    )


def _section(node: Mapping[str, Any]) -> str:
    folder = str(node["fqn"][2])
    if folder not in SECTIONS:
        raise ValueError(f"models/marts/{folder} is no section of the data dictionary; add it to SECTIONS")
    return folder


def threshold_users(manifest: Manifest, name: str) -> tuple[str, ...]:
    """Models and macros whose SQL asks for the threshold by its name."""
    asks = re.compile(rf"threshold\(\s*['\"]{name}['\"]")
    models = [(n["name"], n["raw_code"]) for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    macros = [(m["name"], m["macro_sql"]) for m in manifest["macros"].values() if m["package_name"] == "leverhouse"]
    return tuple(sorted(user for user, sql in [*models, *macros] if asks.search(sql)))


def prose(text: str) -> str:
    """Text as markdown: names as code, and nothing that would be read as mark-up."""
    safe = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return re.sub(r"(?<![\w`])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w`(])", r"`\1`", safe)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render(manifest: Manifest, thresholds: Mapping[str, Mapping[str, Any]], words: Vocabulary) -> str:
    """The whole page. The same manifest gives the same text: nothing of the time or the machine goes in."""
    marts = list(marts_of(manifest, words))
    glance = [(mart.section, f"[`{mart.name}`](#{mart.name})", prose(mart.grain)) for mart in marts]
    parts = [OPENING, "## At a glance", table(("part", "mart", "one row per"), glance)]
    for section, intro in SECTIONS.items():
        inside = [mart for mart in marts if mart.section == section]
        if inside:
            parts += [f"## {section.capitalize()}", intro, *(_mart(mart) for mart in inside)]
    parts += [
        "## Thresholds",
        "Every number a metric judges by, once, in `dbt_project/dbt_project.yml`; readers find them in `marts.dim_threshold`.",
        table(
            ("threshold", "value", "unit", "meaning", "asked for by"),
            [
                (
                    f"`{name}`",
                    number(entry["value"]),
                    prose(entry["unit"]),
                    prose(entry["description"]),
                    ", ".join(f"`{user}`" for user in threshold_users(manifest, name)) or "–",
                )
                for name, entry in sorted(thresholds.items())
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """A number as people write it: 0.00001 and not 1e-05."""
    return f"{value:.10f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _mart(mart: Mart) -> str:
    grain, _, rest = mart.description.partition(".")
    paragraphs = [prose(" ".join(text.split())) for text in rest.split("\n") if text.strip()]
    made_from = ", ".join(f"`{name}`" for name in mart.reads) or "`dbt_project.yml`"
    columns = [
        (
            f"`{one.name}`",
            one.data_type + ("" if one.is_required else "?"),
            one.unit,
            one.additivity,
            prose(one.description),
        )
        for one in mart.columns
    ]
    return "\n\n".join(
        [
            f"### {mart.name}",
            f"**{prose(grain)}.**",
            *paragraphs,
            f"**Key:** {', '.join(f'`{column}`' for column in mart.key)}. **Made from:** {made_from}.",
            table(("column", "type", "unit", "additivity", "meaning"), columns),
        ]
    )


OPENING = """# Data dictionary

Every mart and every column. This page is written by `make docs` from the descriptions beside the models
(`dbt_project/models/marts/*/*.yml`) and from `dbt_project.yml`; change those, not this. A test fails where they differ.

The same texts, each with `[unit, additivity]` behind it, are comments in the published file, so any DuckDB client shows them:

```sql
select table_name, comment from duckdb_tables() where schema_name = 'marts';
select column_name, data_type, comment from duckdb_columns() where table_name = 'oi_trends_daily';
```

Parquet has no place for them: the files in `published/parquet/` hold the same rows without comments. Queries to begin with lie in
`dbt_project/analyses/`.

## How to read it

- **Every column states its unit and how it adds up.** The words are those of the [glossary](glossary.md): a `flow` may be
  summed over time, a `stock` over venues or assets at one instant but never over time, a `ratio` over neither; a `state`
  names or dates the row. Names repeat the unit: `_usd`, `_base`, `rate_8h`, `_share`. `_7d`, `_30d` name the window in days.
- **`trade_date` is the UTC day**; times are UTC without a zone. `side` is the side of the position that was liquidated.
- **Null means not known, 0 means nothing happened.** `?` after a type marks a column that may be null. A state is text,
  and `unknown` where one of its inputs is missing, never off.
- **Windows look back only.** A window of N days is the N days before the day judged, all of them known.
- **`available_at` says when a row could be known.** Whoever tests an idea on the past joins on it and not on `trade_date`."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write docs/data_dictionary.md from dbt's manifest.")
    parser.add_argument(
        "--manifest", type=Path, default=MANIFEST, help="manifest.json of dbt parse or dbt docs generate"
    )
    manifest = json.loads(parser.parse_args(arguments).manifest.read_text(encoding="utf-8"))
    words = vocabulary(GLOSSARY.read_text(encoding="utf-8"))
    PAGE.write_text(render(manifest, thresholds(), words), encoding="utf-8")
    return 0


def thresholds() -> Mapping[str, Mapping[str, Any]]:
    """Thresholds of dbt_project.yml by name; the manifest does not hold them."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))["vars"]["thresholds"]
    return found


if __name__ == "__main__":
    sys.exit(main())
