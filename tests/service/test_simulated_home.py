"""The home of a simulated market under the service: nothing starts by itself, nothing changes."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.home_kind import mark_home
from pipelines.core.paths import environment, prepare_home
from pipelines.core.settings import Settings
from pipelines.operations.load import import_files, load_pending
from pipelines.storage.fingerprint import compare, fingerprint_schemas
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import write_history
from tests.service.service_fixture import served

MINUTES = 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_minutes_of_the_service_change_nothing(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=3)
    settings = Settings(home=tmp_path / "home", mappings=history / "mappings", venues=("bybit",))
    settings.root.mkdir()
    mark_home(settings.root, "simulated")
    prepare_home(settings)
    import_files(settings, history / "mappings" / "example.toml", root=history / "example")
    load_pending(settings, gate=lambda con, inputs: []).raise_failures()
    # What would make a load due elsewhere.
    (settings.root / ".landed").write_text("something else")
    with writer(settings, what="fingerprints") as con:
        before = fingerprint_schemas(con, "clean")
    with served(settings, "http://127.0.0.1:9"):
        time.sleep(60 * MINUTES)
        said = (settings.root / "service.log").read_text()
    with environment(DAGSTER_HOME=str(settings.dagster_home)), dg.DagsterInstance.get() as instance:
        assert instance.get_runs_count() == 0
        assert list(instance.all_instigator_state()) == []
    with writer(settings, what="fingerprints") as con:
        assert compare(before, fingerprint_schemas(con, "clean")) == []
    assert "the home of a simulated market: no schedule and no sensor is started" in said
