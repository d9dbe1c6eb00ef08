"""What only a live call can settle: the list follows the marks in the modules, and a live check judges each of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import duckdb
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


METRICS = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_every_venue_of_unknown_counting_is_named_where_totals_are_explained() -> None:
    text = METRICS.read_text(encoding="utf-8").partition("## Open interest")[2].partition("```")[0].lower()
    assert {fact.venue for fact in LISTED if fact.kind == "counting" and fact.venue not in text} == set()


def test_the_query_of_the_docs_tells_a_venue_that_counts_both_sides() -> None:
    """One trades 10 coins an hour and changes by 8, the other changes by 16."""
    query = re.search(r"```sql\n(with states as .*?)```", METRICS.read_text(encoding="utf-8"), re.DOTALL)
    assert query is not None
    with duckdb.connect() as con:
        con.execute("create schema clean")
        con.execute(
            "create table clean.open_interest as "
            "select 'v.oi' as source, venue, 'X' as instrument, timestamp '2026-10-01' + hour * interval 1 hour as event_at, "
            "'unknown' as counting, 1000 + (hour % 2) * change as oi_base "
            "from range(5) as t(hour), (values ('one', 8.0), ('both', 16.0)) as v(venue, change)"
        )
        con.execute(
            "create table clean.candles as select venue, instrument, 'perp' as market, '1h' as period, event_at as opened_at, "
            "10.0 as volume_base from clean.open_interest"
        )
        assert con.sql(query[1]).fetchall() == [("both", 4, 4, 0), ("one", 4, 0, 0)]
