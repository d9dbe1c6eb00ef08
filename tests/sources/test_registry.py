"""The registry of venues: required declarations, and the page generated from them."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.core.universe import ALWAYS_FOLLOWED, DEFAULT_UNIVERSE, UNIVERSE_SIZE, choose_universe
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Feed, Page, Parsed, Retention, Span, Venue
from pipelines.sandbox.emulator import module_of
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS, SCHEMA

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2024, 1, 1)


def seed(name: str) -> list[dict[str, str]]:
    with (ROOT / "dbt_project" / "seeds" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", registry.VENUES)
def test_a_venue_declares_its_feeds(name: str) -> None:
    venue = registry.venue(name)
    tables = load_contract(Settings.load().schema_dir).clean
    assert venue.name == name
    assert len({feed.name for feed in venue.feeds}) == len(venue.feeds)
    for feed in venue.feeds:
        assert set(feed.tables) <= set(tables), feed.name
        assert feed.description.endswith("."), feed.name
    assert all(base.startswith("https://") for base in venue.endpoints.values())


@pytest.mark.parametrize("name", registry.VENUES)
def test_a_venue_has_a_precedence(name: str) -> None:
    assert name in {row["module"] for row in seed("source_precedence.csv")}


def test_every_venue_is_emulated() -> None:
    emulated = {path.stem for path in (ROOT / "pipelines" / "sandbox" / "venues").glob("*.py")}
    assert {module_of(name) for name in registry.VENUES} <= emulated


def test_the_sources_page_matches_the_modules() -> None:
    done = subprocess.run([sys.executable, "scripts/sources_page.py", "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, "docs/sources.md is stale; run make docs"


def test_the_columns_of_instruments_are_those_of_the_contract() -> None:
    assert load_contract(Settings.load().schema_dir).table("instruments").polars_schema() == SCHEMA


def test_an_unknown_venue_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="bybit"):
        registry.venue("mtgox")


def test_a_capture_equal_to_the_previous_one_is_not_read(tmp_path: Path) -> None:
    read = []

    def parse(pages: Sequence[Page], _: Context) -> Iterator[Parsed]:
        name = pages[0].body.decode()
        read.append(name)
        yield Parsed(INSTRUMENTS, pl.DataFrame({"venue": ["v"], "instrument": ["BTC"], "asset": [name]}))

    async def fetch(*_: object) -> None:
        raise AssertionError("landed already")

    retention = Retention(since=START.date())
    feed = Feed(INSTRUMENTS, (INSTRUMENTS,), "Names.", fetch=fetch, parse=parse, retention=retention)  # type: ignore[arg-type]
    venue = Venue("v", {}, (), (feed,))
    store = LandingStore(tmp_path)
    for hour, name in enumerate(["XBT", "XBT", "BTC", "XBT"]):
        at = START + timedelta(hours=hour)
        with store.draft("v.instruments", str(at), "all") as draft:
            draft.add(Page("*", {}, 200, at, name.encode()))
            request = {"span": [at.isoformat(), at.isoformat()]}
            draft.land(
                completeness="complete",
                request=request,
                original_name="all",
                clock=partial(START.__add__, timedelta(hours=hour)),
            )
    history = registry.instrument_history(store, venue)
    assets_by_hour = [history.at(Span(START, START + timedelta(hours=hour)))["asset"].to_list() for hour in range(4)]
    assert assets_by_hour == [["XBT"], ["XBT"], ["BTC"], ["XBT"]]
    assert read == ["XBT", "BTC", "XBT"]


def test_the_universe_is_the_most_traded_of_every_month_and_nothing_leaves_it() -> None:
    ranking = {f"A{place:02}": 1e9 / (place + 1) for place in range(30)} | {"USDC": 1e12}
    later = ranking | {"NEW": 2e9, "A19": 1.0}
    chosen = choose_universe([ranking, later])
    assert chosen[0] == "NEW"
    assert "USDC" not in chosen
    assert set(chosen) == {f"A{place:02}" for place in range(UNIVERSE_SIZE)} | {"NEW", *ALWAYS_FOLLOWED}
    assert choose_universe([]) == DEFAULT_UNIVERSE
