"""Which versions and rows count by an instant. Whole rebuilds are compared with the marts of now by the demo's tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from pipelines.clean.load import load_source
from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing, LandingStore
from pipelines.operations.as_of import _link, landings_as_of, rebuild_as_of

from .test_load import NOW, SOURCE, LoaderFixture, oi
from .test_versions import FETCHED, landing


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[LoaderFixture]:
    loader = LoaderFixture(tmp_path)
    yield loader
    loader.con.close()


def ids(found: list[Landing]) -> list[str]:
    return [x.landing_id for x in found]


def test_versions_count_that_were_received_by_the_instant() -> None:
    chain = [landing(n) for n in range(4)]
    assert ids(landings_as_of(chain, FETCHED[1], "fetched")) == ["id0", "id1"]
    assert ids(landings_as_of(chain, FETCHED[1], "available")) == ["id0", "id1"]
    assert landings_as_of(chain, datetime(2023, 1, 1), "fetched") == []


def test_history_received_later_counts_as_far_as_its_first_complete_version() -> None:
    chain = [replace(landing(0), completeness="partial"), *(landing(n) for n in range(1, 4))]
    before = datetime(2023, 1, 1)
    assert ids(landings_as_of(chain, before, "available")) == ["id0", "id1"]
    partial = [replace(x, completeness="partial") for x in chain]
    assert ids(landings_as_of(partial, before, "available")) == ids(chain)


def test_rows_known_later_are_left_out_and_their_days_with_them(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTC", "2024-01-30", 5.0), ("BTC", "2024-01-31", 6.0), ("BTC", "2024-02-02", 7.0)))
    load_source(
        lambda: nullcontext(loader.con),
        contract=loader.contract,
        source=SOURCE,
        store=loader.store,
        landings=loader.store.all(),
        parse=lambda one: iter(loader.frames[one.landing_id]),
        rules=loader.rules,
        gate=lambda con, inputs: [],
        now=NOW,
        known_by=datetime(2024, 1, 31),
    )
    assert loader.rows("select cast(event_at as varchar) from clean.open_interest order by 1") == [
        ("2024-01-30 00:00:00",),
        ("2024-01-31 00:00:00",),
    ]
    assert loader.rows("select max(trade_date) from ops.loads") == loader.rows("select date '2024-01-30'")


def test_what_is_refused_as_of_an_instant_is_not_marked_in_the_landing(loader: LoaderFixture, tmp_path: Path) -> None:
    one = loader.land("a.csv", oi(("BTC", "2024-01-30", 5.0)))
    loader.store.accept(one, reason="it is true")
    _link(loader.store, [one], tmp_path / "other")
    linked = LandingStore(tmp_path / "other")
    [same] = linked.all()
    assert (same.landing_id, linked.is_accepted(same), list(linked.verify([same]))) == (one.landing_id, True, [])
    linked.mark_path(same, "refused").write_text("{}", encoding="utf-8")
    assert not loader.store.mark_path(one, "refused").exists()


def test_an_instant_before_everything_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing had been landed by 2020-01-01"):
        rebuild_as_of(Settings(home=tmp_path / "home"), datetime(2020, 1, 1))
