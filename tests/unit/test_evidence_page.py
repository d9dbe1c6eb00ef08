"""docs/evidence.md holds what it is said to hold, and the command judges markets of known truth by the stated bounds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pipelines.cli.evidence_page import is_sound, page
from pipelines.core.settings import PROJECT_ROOT
from pipelines.sandbox.evidence import DESIGNS, MarketRate, Size, Skill, Truth

SOUND = Truth(
    panels=100, markets=40, days=400, sizes=(Size(DESIGNS[0], 100, 5, 80),),
    rates=(MarketRate("deleveraging", 7, 40, 3, 38),),
    skills=((1, Skill("long", 0.27, 0.22, 0.32, 208)),), null_skills=((1, Skill("long", -0.02, -0.05, 0.01, 208)),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "sound"),
    [
        (SOUND, True),
        (replace(SOUND, rates=(MarketRate("deleveraging", 7, 40, 4, 38),)), False),
        (replace(SOUND, rates=(MarketRate("deleveraging", 7, 40, 3, 35),)), False),
        (replace(SOUND, sizes=(Size(DESIGNS[0], 100, 11, 80),)), False),
        (replace(SOUND, skills=((1, Skill("long", 0.01, -0.01, 0.03, 208)),)), False),
        (replace(SOUND, null_skills=((1, Skill("long", 0.05, 0.01, 0.09, 208)),)), False),
    ],
)
def test_statistics_that_find_too_much_or_too_little_are_not_sound(truth: Truth, *, sound: bool) -> None:
    assert is_sound(truth) is sound


def test_without_a_record_the_page_says_so_and_shows_the_truth() -> None:
    text = "\n".join(page(SOUND, None, command="leverhouse evaluate"))
    assert "No month of the published record was judged yet." in text
    assert "| 700 days, 50 assets | 7 | 5.0% | 80% |" in text
    assert "| 1 | long | +0.270 | +0.220 to +0.320 | -0.020 | -0.050 to +0.010 |" in text


def test_the_document_has_sizes_of_four_hundred_panels_and_every_primary_hypothesis() -> None:
    text = (PROJECT_ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    [panels] = re.findall(r"--panels (\d+)", text)
    assert int(panels) >= 400
    rates = [
        float(rate) for rate in re.findall(r"^\| [^|`]+ \| \d+ \| ([\d.]+)% \| \d+% \|$", text, flags=re.MULTILINE)
    ]
    assert len(rates) == len(DESIGNS)
    assert max(rates) <= 8
    seeds = (PROJECT_ROOT / "dbt_project" / "seeds" / "signal_hypotheses.csv").read_text(encoding="utf-8")
    primary = {line.split(",")[1] for line in seeds.splitlines()[1:] if ",primary," in line}
    assert set(re.findall(r"^\| `(\w+)` \| \w+ \|", text, flags=re.MULTILINE)) >= primary
