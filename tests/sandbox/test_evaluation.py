"""Planted episodes are found on their days and assets, and null markets have few false positives: on two seeds here, on twenty in
docs/signal_evaluation.md, written by `leverhouse evaluate`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from pipelines.cli.demo import ASSETS
from pipelines.cli.evaluate import markdown
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.sandbox.evaluation import DATA_EPISODES, NULL_BOUNDS, Detection, Evaluation, NullRate, evaluate_markets
from pipelines.sandbox.market_episodes import SIGNALS

FIRST, LAST = date(2025, 2, 1), date(2025, 5, 31)
SEEDS = (1, 2)
EVENTS = (
    "oi_expansion",
    "capitulation",
    "extreme_negative_funding",
    "large_liquidations",
    "lending_stress",
)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory, spare_parsing: Callable[[Settings], None]) -> Evaluation:
    settings = Settings(home=tmp_path_factory.mktemp("evaluation"))
    # Where the seeds are loaded.
    spare_parsing(settings.model_copy(update={"home": settings.root / f"seeds-{SEEDS[0]}"}))
    return evaluate_markets(
        settings, SEEDS, first=FIRST, last=LAST, assets=ASSETS, progress=lambda _what, _done, _of: None
    )


def test_every_kind_of_episode_is_planted_in_every_market_and_found(evaluation: Evaluation) -> None:
    assert {one.kind for one in evaluation.found} == {*SIGNALS, *DATA_EPISODES}
    for one in evaluation.found:
        assert (one.planted, one.found, one.missed_seeds) == (len(SEEDS), len(SEEDS), ()), one


def test_false_positive_rates_of_null_markets_are_within_bounds(evaluation: Evaluation) -> None:
    assert {one.signal for one in evaluation.null_rates} == set(NULL_BOUNDS)
    for one in evaluation.null_rates:
        assert one.rate is None or one.rate <= NULL_BOUNDS[one.signal], one
    known = {one.signal for one in evaluation.null_rates if one.known}
    assert known >= set(EVENTS)
    assert evaluation.is_sound


def made(*, found: int, on: int) -> Evaluation:
    return Evaluation(
        (1, 2), FIRST, LAST, ASSETS,
        (Detection("cascade", "large_liquidations", 2, found, () if found == 2 else (2,)),),
        (NullRate("large_liquidations", on, 1000, on / 1000), NullRate("systemic_risk", 0, 0, 0.0)),
    )  # fmt: skip


@pytest.mark.parametrize(("found", "on", "sound"), [(2, 60, True), (1, 60, False), (2, 61, False)])
def test_a_missed_episode_or_an_exceeded_bound_is_not_sound(found: int, on: int, *, sound: bool) -> None:
    assert made(found=found, on=on).is_sound is sound


def test_the_tables_list_missed_seeds_and_unknown_days() -> None:
    text = "\n".join(markdown(made(found=1, on=43)))
    assert "| cascade | `large_liquidations` | 2 | 1 | 2 |" in text
    assert "| `large_liquidations` | 1,000 | 43 | 4.30% | 6% | 4.3% |" in text
    assert "| `systemic_risk` | 0 | – | – | – | – |" in text


def test_the_document_has_twenty_seeds_with_all_episodes_found_and_rates_within_bounds() -> None:
    text = (PROJECT_ROOT / "docs" / "signal_evaluation.md").read_text(encoding="utf-8")
    [seeds] = re.findall(r"leverhouse evaluate --seeds (\d+)", text)
    assert int(seeds) >= 20
    planted = re.findall(r"^\| [a-z ]+ \| `.+` \| (\d+) \| (\d+) \| (.+) \|$", text, flags=re.MULTILINE)
    assert len(planted) == len(SIGNALS) + len(DATA_EPISODES)
    assert all(row == (seeds, seeds, "–") for row in planted)
    rates = re.findall(r"^\| `(\w+)` \| [\d,]+ \| [\d,]+ \| ([\d.]+)% \|", text, flags=re.MULTILINE)
    assert {signal for signal, _ in rates} >= set(EVENTS)
    assert all(float(rate) / 100 <= NULL_BOUNDS[signal] for signal, rate in rates)


def test_every_signal_has_a_bound() -> None:
    seeds = Path(PROJECT_ROOT / "dbt_project" / "seeds" / "signals.csv").read_text(encoding="utf-8")
    assert {line.partition(",")[0] for line in seeds.splitlines()[1:]} == set(NULL_BOUNDS)
