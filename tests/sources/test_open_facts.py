"""What only a live call can settle: the list follows the marks in the modules, and a live check judges each of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest

from pipelines.operations.healthcheck import HealthCheck, settle
from pipelines.sources import open_facts as module
from pipelines.sources.open_facts import MARK, OpenFact, open_facts
from pipelines.sources.registry import VENUES, venue

FOLDER = Path(module.__file__).parent
LISTED = [fact for name in VENUES for fact in open_facts(name)]


def test_every_mark_in_the_modules_of_venues_is_listed() -> None:
    """Counted with another tool: lines of files in venues' folders that have a mark."""
    places = {fact.place.partition(":")[0] for fact in LISTED if fact.kind == "mark"}
    marked = {
        str(path.relative_to(FOLDER))
        for folder in ("cex", "dex", "chain")
        for path in (FOLDER / folder).rglob("*.py")
        if re.search(re.escape(MARK), path.read_text(encoding="utf-8"))
    }
    assert marked and marked == places


def test_a_mark_belongs_to_the_feed_whose_code_states_it() -> None:
    found = {(fact.venue, fact.feed) for fact in LISTED if "of inverse ones in coin" in fact.text}
    assert found == {("bybit", "risk_tiers")}
    assert all(fact.feed is None or venue(fact.venue).feed(fact.feed) for fact in LISTED)


def test_unknown_counting_and_unverified_depth_are_listed() -> None:
    counting = {fact.venue for fact in LISTED if fact.kind == "counting"}
    assert counting == {
        name for name in VENUES for feed in venue(name).feeds if feed.counting and feed.counting[-1].sides == "unknown"
    }
    depth = {(fact.venue, fact.feed) for fact in LISTED if fact.kind == "depth"}
    assert ("kraken", "candles") in depth


Asked = Literal["recent", "oldest"]
Verdict = Literal["as expected", "differs", "failed"]


@pytest.mark.parametrize(
    ("kind", "recent", "oldest", "outcome"),
    [
        ("mark", "as expected", "as expected", "not contradicted"),
        ("mark", "differs", "as expected", "not settled"),
        ("mark", "failed", "failed", "not settled"),
        ("depth", "as expected", "as expected", "held"),
        ("depth", "as expected", "differs", "did not hold"),
        ("depth", "as expected", "failed", "not settled"),
        ("counting", "as expected", "as expected", "not settled"),
    ],
)
def test_a_live_answer_settles_what_it_can(
    kind: Literal["mark", "depth", "counting"], recent: Verdict, oldest: Verdict, outcome: str
) -> None:
    fact = OpenFact("kraken", "candles", kind, "a fact", "")
    asked: dict[Asked, Verdict] = {"recent": recent, "oldest": oldest}
    results = [HealthCheck("kraken.candles", one, verdict, "") for one, verdict in asked.items()]
    others = [HealthCheck("kraken.funding", "recent", "failed", "")]
    assert settle(fact, [*results, *others]).outcome == outcome
