"""Writes docs/data_dictionary.md from dbt's manifest: every mart with its grain, key, columns, units, and all thresholds.

What a mart or a column means is written beside the model; here is only how the page is laid out, and how a column's unit
is read from its name and description.
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

Manifest = Mapping[str, Any]

# Areas of models/marts/analysis and the other folders of models/marts in reading order: what people come for first, what it is
# made of after it.
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

# The first line whose pattern is found in the column's name gives the unit, else the first whose words are in its description.
# Order matters: a ratio of dollars is a fraction, and a rate per eight hours is one with a span.
UNITS = (
    ("as stated beside it", r"^(value|threshold|contract_size)$", r"\bin the stated unit\b"),
    ("fraction per year", r"annualized|(^|_)iv(_|$)", r"fraction per year"),
    ("fraction per 8 h", r"(^|_)(rate|x)_8h", r"fraction per 8 h"),
    ("percentile", r"percentile", r"\bin percent\b|\b[Mm]id-rank\b"),
    ("score, 0 to 100", r"systemic_risk_score", r"from 0 to 100|\[0, 100\]"),
    ("standard deviations", r"zscore", r"z-score"),
    ("correlation", r"correlation|(lag|lead)_band", r"\b[Cc]orrelation of\b"),
    ("strength, −1 to 1", r"strength|^(combined|price|risk)_score$", r"\[-1, 1\]"),
    ("sign", r"_sign$", r"\b[Ss]ign of\b"),
    ("number, −1 to 1", r"^delta$", r"\b-1 to 1\b"),
    ("fraction", r"_share(_|$)|_growth(_|$)|_to_oi(_|$)|completeness", r"\bfraction\b|\[0, 1\]|\b0 to 1\b"),
    ("ratio", r"(^|_)ratio(_|$)|(^|_)multiplier$|_to_volume", r"\bdivided by\b|\bratio of\b|\bpure number\b"),
    ("US dollars", r"(^|_)usd(_|$)", r"\bUS dollars\b"),
    ("units of the asset", r"(^|_)base(_|$)", r"\bunits of the (asset|underlying)\b|\bin base units\b"),
    ("natural log", r"log_|realized_vol|account_gap", r"\bln\(|\b[Nn]atural log\b|\b[Ll]og return\b|\blogit\("),
    ("index, 0 to 1", r"hhi", r"\bHerfindahl\b"),
    ("days", r"(^|_)days(_|$)", r"\b[Dd]ays\b"),
    ("hours", r"(^|_)hours(_|$)", r"\b[Hh]ours\b"),
    ("minutes", r"(^|_)minutes(_|$)", r"\b[Mm]inutes\b"),
    ("seconds", r"(^|_)seconds(_|$)", r"\b[Ss]econds\b"),
    ("rank", r"(^|_)rank$", r"\b[Rr]ank\b"),
    ("number", r"^(year|quarter|month|day_of_month|iso_weekday)$|_(id|no)$", r"\b[Nn]umber of\b"),
)
OF_TYPE = {"date": "UTC day", "timestamp": "UTC instant", "boolean": "true or false"}
# Whole numbers named in the plural are counts, except of the spans that are units themselves.
COUNTED = re.compile(r"(?<!day)(?<!hour)(?<!minute)(?<!second)s(_|$)|^rows_|quarantined|_length$")


class NoUnitError(ValueError):
    """A number's unit follows from neither its name nor its description."""


@dataclass(frozen=True)
class Column:
    name: str
    data_type: str
    description: str
    unit: str
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


def unit_of(name: str, facts: Mapping[str, Any]) -> str:
    """Unit of a column: `meta: {unit: …}` where it is stated, else by name, type and description.

    Raises NoUnitError for a number of which none of them tells.
    """
    stated = facts.get("config", {}).get("meta", {}).get("unit")
    if stated:
        return str(stated)
    kind, description = facts["data_type"], facts["description"]
    if kind in OF_TYPE:
        return OF_TYPE[kind]
    if kind == "string":
        return "text"
    if kind in {"int", "bigint"} and COUNTED.search(name):
        return "count"
    for unit, by_name, _ in UNITS:
        if re.search(by_name, name):
            return unit
    for unit, _, by_words in UNITS:
        if re.search(by_words, description):
            return unit
    raise NoUnitError(f"{name}: name its unit in the description, or state it as config: meta: unit:")


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


def marts_of(manifest: Manifest) -> Iterator[Mart]:
    """The marts in the order of the page: sections as listed, names in each."""
    nodes = [n for n in manifest["nodes"].values() if n["resource_type"] == "model" and n["schema"] == "marts"]
    sections = list(SECTIONS)
    for node in sorted(nodes, key=lambda n: (sections.index(_section(n)), n["name"])):
        key, states = key_of(manifest, node["unique_id"]), states_of(manifest, node["unique_id"])
        yield Mart(
            name=node["name"],
            section=_section(node),
            description=node["description"].strip(),
            key=key,
            reads=tuple(sorted(parent.split(".")[2] for parent in node["depends_on"]["nodes"])),
            columns=tuple(
                Column(
                    name=name,
                    data_type=facts["data_type"],
                    description=" ".join(facts["description"].split()),
                    unit=_kind(name, facts, key=key, states=states),
                    is_required=any(constraint["type"] == "not_null" for constraint in facts["constraints"]),
                )
                for name, facts in node["columns"].items()
            ),
        )


def _kind(name: str, facts: Mapping[str, Any], *, key: tuple[str, ...], states: frozenset[str]) -> str:
    unit = unit_of(name, facts)
    if unit != "text":
        return unit
    return "key" if name in key else "state" if name in states else unit


def _section(node: Mapping[str, Any]) -> str:
    folders = [str(folder) for folder in node["fqn"][2:-1]]
    section = folders[1] if folders[0] == "analysis" else folders[0]
    if section not in SECTIONS:
        raise ValueError(f"models/marts/{'/'.join(folders)} is no section of the data dictionary; add it to SECTIONS")
    return section


def threshold_users(manifest: Manifest, name: str) -> tuple[str, ...]:
    """Models and macros whose SQL asks for the threshold by its name."""
    asks = re.compile(rf"threshold\(\s*['\"]{name}['\"]")
    models = [(n["name"], n["raw_code"]) for n in manifest["nodes"].values() if n["resource_type"] == "model"]
    macros = [(m["name"], m["macro_sql"]) for m in manifest["macros"].values() if m["package_name"] == "leverhouse"]
    return tuple(sorted(user for user, sql in [*models, *macros] if asks.search(sql)))


def states_of(manifest: Manifest, model_id: str) -> frozenset[str]:
    """Columns that hold one of a fixed set of words: those that the model's test of rows lists."""
    kwargs = [
        node["test_metadata"]["kwargs"]
        for node in manifest["nodes"].values()
        if node.get("attached_node") == model_id and (node.get("test_metadata") or {}).get("name") == "row_rules"
    ]
    return frozenset(column for one in kwargs for column in one.get("sets", {}))


def prose(text: str) -> str:
    """Text as markdown: names as code, and nothing that would be read as mark-up."""
    safe = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
    return re.sub(r"(?<![\w`])([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w`(])", r"`\1`", safe)


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def render(manifest: Manifest, thresholds: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page. The same manifest gives the same text: nothing of the time or the machine goes in."""
    marts = list(marts_of(manifest))
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
        (f"`{one.name}`", one.data_type + ("" if one.is_required else "?"), one.unit, prose(one.description))
        for one in mart.columns
    ]
    return "\n\n".join(
        [
            f"### {mart.name}",
            f"**{prose(grain)}.**",
            *paragraphs,
            f"**Key:** {', '.join(f'`{column}`' for column in mart.key)}. **Made from:** {made_from}.",
            table(("column", "type", "unit", "meaning"), columns),
        ]
    )


OPENING = """# Data dictionary

Every mart and every column. This page is written by `make docs` from the descriptions beside the models
(`dbt_project/models/marts/**/*.yml`) and from `dbt_project.yml`; change those, not this. A test fails where they differ.

The same texts are comments in the published file, so any DuckDB client shows them:

```sql
select table_name, comment from duckdb_tables() where schema_name = 'marts';
select column_name, data_type, comment from duckdb_columns() where table_name = 'oi_trends_daily';
```

Parquet has no place for them: the files in `published/parquet/` hold the same rows without comments. Queries to begin with lie in
`dbt_project/analyses/`.

## How to read it

- **Units stand in names.** `_usd` is US dollars, `_base` units of the asset (coins), `rate_8h` a fraction per 8 hours
  (0.0001 is 0.01%), `_share` a fraction. A percentile runs from 0 to 100. `_7d`, `_30d` name the window in days.
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
    PAGE.write_text(render(manifest, thresholds()), encoding="utf-8")
    return 0


def thresholds() -> Mapping[str, Mapping[str, Any]]:
    """Thresholds of dbt_project.yml by name; the manifest does not hold them."""
    found: Mapping[str, Mapping[str, Any]] = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))["vars"]["thresholds"]
    return found


if __name__ == "__main__":
    sys.exit(main())
