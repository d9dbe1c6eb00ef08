"""Writes docs/data_dictionary.md from dbt's manifest: every mart with its grain, key, columns, units, and all thresholds.

The descriptions are in the models' yml, unit and additivity in the columns' meta; docs/glossary.md defines the allowed units
and additivities. This script has the layout of the page.
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

# Areas of models/marts/analysis and the other folders of models/marts in reading order: what people come for first, what it is
# made of after it.
SECTIONS = {
    "overview": "Where each asset stands.",
    "signals": "Daily signals. They are hypotheses, not advice.",
    "evidence": "Which signals were followed by what they announce, and where liquidations lie, each with its record.",
    "trends": "Open interest, funding, liquidations and positioning over time, across venues.",
    "liquidations": "Forced liquidations, and cascades of them.",
    "risk": "Leverage, its concentration, and the positioning of traders.",
    "options": "Option markets: skew, hedging and strikes with large open interest.",
    "facts": "What the sources reported, normalized, without interpretation.",
    "reference": "Assets, venues, instruments and thresholds.",
    "operations": "Contents of the warehouse, gaps and their reasons.",
}


class VocabularyError(ValueError):
    """A column has no unit or additivity, or one that docs/glossary.md does not list."""


@dataclass(frozen=True)
class Vocabulary:
    """The allowed units and additivities with their meanings."""

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
        """The first sentence of the description, without "One row per"."""
        return self.description.partition(".")[0].removeprefix("One row per ")


def vocabulary(glossary: str) -> Vocabulary:
    """The tables below "## Units" and "## Additivity" in the text of the glossary: word in backticks, then meaning."""

    def table_below(heading: str) -> Mapping[str, str]:
        section = glossary.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        words = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
        if not words:
            raise VocabularyError(f"docs/glossary.md: no table below ## {heading}")
        return words

    return Vocabulary(units=table_below("Units"), additivities=table_below("Additivity"))


def measure_of(facts: Mapping[str, Any], words: Vocabulary) -> tuple[str, str]:
    """Unit and additivity of a column, from its `config: {meta: {unit: …, additivity: …}}`.

    Raises VocabularyError if one is missing or not in the glossary.
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
    """Columns of the model's uniqueness test; empty if it has none."""
    for node in manifest["nodes"].values():
        test = node.get("test_metadata")
        if test is None or node.get("attached_node") != model_id:
            continue
        if test["name"] == "unique_combination":
            return tuple(test["kwargs"]["columns"])
        if test["name"] == "unique":
            return (test["kwargs"]["column_name"],)
    return ()


def marts_of(manifest: Manifest, words: Vocabulary) -> Iterator[Mart]:
    """The marts in the order of the page: by section, then by name."""
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
    folders = [str(folder) for folder in node["fqn"][2:-1]]
    section = folders[1] if folders[0] == "analysis" else folders[0]
    if section not in SECTIONS:
        raise ValueError(f"models/marts/{'/'.join(folders)} is no section of the data dictionary; add it to SECTIONS")
    return section


def threshold_users(manifest: Manifest, name: str, conditions: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Models and macros whose SQL uses the threshold, itself or by the condition of a signal that compares with it."""
    signals = "|".join(signal for signal, definition in conditions.items() if name in _borders(definition))
    use = re.compile(
        rf"threshold\(\s*['\"]{name}['\"]" + (rf"|\bsignal_[a-z_]+\(\s*'(?:{signals})'" if signals else "")
    )
    models = [(n["name"], n["raw_code"]) for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    macros = [(m["name"], m["macro_sql"]) for m in manifest["macros"].values() if m["package_name"] == "leverhouse"]
    return tuple(sorted(user for user, sql in [*models, *macros] if use.search(sql)))


def _borders(definition: Mapping[str, Any]) -> frozenset[str]:
    """Everything a signal's comparisons name, thresholds among it, without signs."""
    comparisons = [*definition.get("all", ()), *definition.get("any", ()), definition.get("held_while", ())]
    return frozenset(str(word).removeprefix("-") for comparison in comparisons for word in comparison)


def prose(text: str) -> str:
    """Text as Markdown: identifiers as code, special characters escaped."""
    safe = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return re.sub(r"(?<![\w`])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w`(])", r"`\1`", safe)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render(manifest: Manifest, thresholds: Mapping[str, Mapping[str, Any]], words: Vocabulary) -> str:
    """The whole page. Deterministic: equal manifests give equal text."""
    marts, signals = list(marts_of(manifest, words)), conditions()
    glance = [(mart.section, f"[`{mart.name}`](#{mart.name})", prose(mart.grain)) for mart in marts]
    parts = [OPENING, "## At a glance", table(("part", "mart", "one row per"), glance)]
    for section, intro in SECTIONS.items():
        inside = [mart for mart in marts if mart.section == section]
        if inside:
            parts += [f"## {section.capitalize()}", intro, *(_mart(mart) for mart in inside)]
    parts += [
        "## Thresholds",
        "All thresholds of metrics, defined in `dbt_project/dbt_project.yml` and published as `marts.dim_threshold`.",
        table(
            ("threshold", "value", "unit", "meaning", "used by"),
            [
                (
                    f"`{name}`",
                    number(entry["value"]),
                    prose(entry["unit"]),
                    prose(entry["description"]),
                    ", ".join(f"`{user}`" for user in threshold_users(manifest, name, signals)) or "–",
                )
                for name, entry in sorted(thresholds.items())
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """A number in decimal notation: 0.00001 instead of 1e-05."""
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

Every mart and every column. Written by `make docs` from the descriptions of the models (`dbt_project/models/marts/**/*.yml`)
and from `dbt_project.yml`; edit those instead of this page. A test fails if they differ.

The same texts, each followed by `[unit, additivity]`, are comments in the published file, so any DuckDB client shows them:

```sql
select table_name, comment from duckdb_tables() where schema_name = 'marts';
select column_name, data_type, comment from duckdb_columns() where table_name = 'oi_trends_daily';
```

Parquet files do not have comments: those in `published/parquet/` have the same rows without them. Example queries are in
`dbt_project/analyses/`.

## How to read it

- **Every column has a unit and an additivity**, defined in the [glossary](glossary.md): a `flow` may be summed over time, a
  `stock` over venues or assets at one instant but never over time, a `ratio` over neither; a `state` identifies or dates the
  row. Names repeat the unit: `_usd`, `_base`, `rate_8h`, `_share`. `_7d`, `_30d` give the window in days.
- **`trade_date` is the UTC day**; times are UTC without a zone. `side` is the side of the position that was liquidated.
- **Null means unknown, 0 means that nothing happened.** `?` after a type marks a nullable column. A signal state is text; it
  is `unknown`, never off, if one of its inputs is missing.
- **Windows look back only.** A window of N days is the N days before the day of the row, all of them known.
- **`available_at` is when a row became available.** Use it instead of `trade_date` for joins in backtests."""


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
    """Thresholds of dbt_project.yml by name; the manifest does not contain them."""
    return _variables("thresholds")


def conditions() -> Mapping[str, Mapping[str, Any]]:
    """The conditions of signals of dbt_project.yml, by signal."""
    return _variables("signals")


def _variables(name: str) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))["vars"][name]
    return found


if __name__ == "__main__":
    sys.exit(main())
