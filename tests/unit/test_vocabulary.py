"""Replaced public names are not used again: columns, values, commands, pages and models, as listed in CHANGELOG.md.

Only identifiers are refused. Words that are also plain English (agree, recipe, pace, holds) are allowed in prose and refused
as names: after `name:`, `as` or a dot, and in backticks.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_house import FILES, ROOT, shown

EXEMPT = {ROOT / "CHANGELOG.md", Path(__file__)}
VENDORED = ROOT / "pipelines" / "report" / "static" / "lib"
"""Code of others, kept as it was released."""

REFUSED = {
    "a column": re.compile(
        r"\bx_8h|\bx_percentile_|\bwhale_retail_gap|\bworst_reason\b|\bjudged_by\b|\bon_means\b|\bvalue_is\b|\bstrength_is\b"
        r"|\bclaim_on\b|\bopen_interest_base|\brealised_|\brate_annualised\b|\bcolour_(?:hex|value)\b|normalisation"
        r"|\bholds_(?:from|until)\b|\boi_base_told\b|\bdays_told\b|\b\w+(?<!_chain)(?<!_is)_linked\b"
    ),
    "a plain word as a column": re.compile(r"(?:\bname: |`|\bas |\w\.)(?:agree|belief|recipe|pace)\b"),
    "a signal by its hypothesis": re.compile(r"\bb(?:0[1-9]|1[0-5])_[a-z]"),
    "a threshold or a check": re.compile(r"\bheatmap_colour_|\bnormalised_matches_raw\b"),
    "a British spelling": re.compile(
        r"\w*(?:colour|neighbour|behaviour|normalis|annualis|realis|finalis|organis|recognis|summaris|labell|favour)\w*",
        re.IGNORECASE,
    ),
    "a command": re.compile(r"\bleverhouse truth\b"),
    "a page": re.compile(r"\btruth\.md\b|^#+ (?:The way of the data|The tree)\b|\| tells \||\*Tells\*", re.MULTILINE),
    "a generic test": re.compile(r"(?:^\s*- |\btest )(?:sound|known|related|holds|conformed)[:(]", re.MULTILINE),
    "a macro": re.compile(
        r"\bforget_affected_days\b|\bremember_watermark\b|\bis_affected\b|\bsignal_(?:poorer|weaker|over)\b"
        r"|\bstats_(?:tidy_lists|gathered_list)\b|\bcontested_series\b"
    ),
    "an example query": re.compile(
        r"\b(?:agreement_of_venues_on_funding|anatomy_of_november_2022|beliefs_on_a_day|combined_score_and_what_followed"
        r"|concentration_of_open_interest|cost_of_holding_a_long|crowd_against_whales_and_options|crowding_of_an_asset"
        r"|does_open_interest_lead_the_price|exchange_beside_lending|extremes_of_account_long_share|gaps_and_their_reasons"
        r"|hours_of_liquidations|how_often_each_signal_speaks|open_interest_in_dollars_and_in_coins"
        r"|november_2022_step_by_step|systemic_risk_and_what_followed|what_was_known_at_an_instant)\b"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_no_file_uses_a_replaced_name(kind: str) -> None:
    offenders = [
        f"{shown(path)}:{text[: match.start()].count(chr(10)) + 1}: {match[0].strip()!r}"
        for path in FILES
        if path not in EXEMPT
        and path.suffix not in {".parquet", ".duckdb", ".png", ".xz"}
        and VENDORED not in path.parents
        for text in [path.read_text()]
        for match in REFUSED[kind].finditer(text)
    ]
    assert not offenders, "CHANGELOG.md lists the new names"


def old_names() -> list[str]:
    """The old names in the changelog's tables: their second-last column."""
    rows = re.findall(r"^\|(.*)\|$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[-2])]


@pytest.mark.parametrize("name", sorted({*old_names()} - {"open_interest_usd"}))
def test_every_old_name_of_the_changelog_is_refused(name: str) -> None:
    # open_interest_usd is still the name of a field that Gate sends.
    assert any(pattern.search(f"select `{name}`") for pattern in REFUSED.values())


@pytest.mark.parametrize(
    "text",
    [
        "two sources agree in everything",
        "as the pace of its blocks",
        "whoever holds a position, and what is known of it",
        "oi_usd_chain_linked as level",
        "if not _is_linked(link, parquet):",
        "a_day_is_judged_by_its_minutes",
        "how much of the truth a venue tells",
        "the tree of this repository",
    ],
)
def test_ordinary_words_are_allowed(text: str) -> None:
    assert [kind for kind, pattern in REFUSED.items() if pattern.search(text)] == []
