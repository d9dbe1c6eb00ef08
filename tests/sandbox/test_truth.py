"""Everything planted is found on its day and asset, and in markets without anything little is: on two seeds here, on twenty by the
command `leverhouse truth`, whose result is docs/truth.md."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from pipelines.cli.demo import ASSETS
from pipelines.cli.truth import markdown
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.sandbox.market_episodes import SIGNALS
from pipelines.sandbox.truth import ELSEWHERE, NULL_BOUNDS, Found, NullRate, Truth, judge_markets

FIRST, LAST = date(2025, 2, 1), date(2025, 5, 31)
SEEDS = (1, 2)
EVENTS = (
    "b01_expansion",
    "b08_capitulation",
    "b10_extreme_negative_funding",
    "b12_large_liquidations",
    "b15_lending_stress",
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    settings = Settings(home=tmp_path_factory.mktemp("truth"))
    return judge_markets(
        settings, SEEDS, first=FIRST, last=LAST, assets=ASSETS, progress=lambda _what, _done, _of: None
    )


def test_every_kind_of_episode_is_planted_in_every_market_and_found(truth: Truth) -> None:
    assert {one.kind for one in truth.found} == {*SIGNALS, *ELSEWHERE}
    for one in truth.found:
        assert (one.planted, one.found, one.missed_seeds) == (len(SEEDS), len(SEEDS), ()), one


def test_where_nothing_is_planted_no_signal_is_on_more_often_than_is_stated(truth: Truth) -> None:
    assert {one.signal for one in truth.null_rates} == set(NULL_BOUNDS)
    for one in truth.null_rates:
        assert one.rate is None or one.rate <= NULL_BOUNDS[one.signal], one
    known = {one.signal for one in truth.null_rates if one.known}
    assert known >= set(EVENTS)
    assert truth.is_sound


def made(*, found: int, on: int) -> Truth:
    return Truth(
        (1, 2), FIRST, LAST, ASSETS,
        (Found("cascade", "b12_large_liquidations", 2, found, () if found == 2 else (2,)),),
        (NullRate("b12_large_liquidations", on, 1000, on / 1000), NullRate("b13_systemic_risk", 0, 0, 0.0)),
    )  # fmt: skip


@pytest.mark.parametrize(("found", "on", "sound"), [(2, 60, True), (1, 60, False), (2, 61, False)])
def test_a_missed_episode_or_an_exceeded_bound_is_not_sound(found: int, on: int, *, sound: bool) -> None:
    assert made(found=found, on=on).is_sound is sound


def test_the_tables_name_the_seeds_that_missed_and_the_days_nobody_knows() -> None:
    text = "\n".join(markdown(made(found=1, on=43)))
    assert "| cascade | `b12_large_liquidations` | 2 | 1 | 2 |" in text
    assert "| `b12_large_liquidations` | 1,000 | 43 | 4.30% | 6% | 4.3% |" in text
    assert "| `b13_systemic_risk` | 0 | – | – | – | – |" in text


def test_the_document_holds_twenty_seeds_in_which_all_was_found_within_the_stated_rates() -> None:
    text = (PROJECT_ROOT / "docs" / "truth.md").read_text(encoding="utf-8")
    [seeds] = re.findall(r"leverhouse truth --seeds (\d+)", text)
    assert int(seeds) >= 20
    planted = re.findall(r"^\| [a-z ]+ \| `.+` \| (\d+) \| (\d+) \| (.+) \|$", text, flags=re.MULTILINE)
    assert len(planted) == len(SIGNALS) + len(ELSEWHERE)
    assert all(row == (seeds, seeds, "–") for row in planted)
    rates = re.findall(r"^\| `(\w+)` \| [\d,]+ \| [\d,]+ \| ([\d.]+)% \|", text, flags=re.MULTILINE)
    assert {signal for signal, _ in rates} >= set(EVENTS)
    assert all(float(rate) / 100 <= NULL_BOUNDS[signal] for signal, rate in rates)


def test_a_signal_has_a_stated_rate() -> None:
    seeds = Path(PROJECT_ROOT / "dbt_project" / "seeds" / "signals.csv").read_text(encoding="utf-8")
    assert {line.partition(",")[0] for line in seeds.splitlines()[1:]} == set(NULL_BOUNDS)
