"""A home is real or simulated: it is written down, and the two never mix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.home_kind import check_endpoints_are_emulated, home_kind, is_marked, mark_home
from pipelines.core.paths import prepare_home
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.fetch import fetch
from pipelines.operations.load import import_files, load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import write_history

SOURCE = "files.example"


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, Settings]:
    """A real and a simulated home, each with the same three files landed."""
    history = write_history(tmp_path / "history", days=2)
    found = {}
    for kind in ("real", "simulated"):
        settings = Settings(home=tmp_path / kind, mappings=history / "mappings")
        if kind == "simulated":
            settings.root.mkdir()
            mark_home(settings.root, "simulated")
        prepare_home(settings)
        import_files(settings, history / "mappings" / "example.toml", root=history / "example")
        found[kind] = settings
    return found


def test_a_home_is_real_unless_it_is_marked_otherwise(tmp_path: Path) -> None:
    assert home_kind(tmp_path) == "real"
    assert not is_marked(tmp_path)
    prepare_home(Settings(home=tmp_path))
    assert json.loads((tmp_path / "home.json").read_text()) == {"kind": "real"}
    with pytest.raises(ConfigError, match="is a real home and cannot become a simulated one"):
        mark_home(tmp_path, "simulated")


def test_the_home_of_an_older_demo_is_simulated(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"simulated": true}')
    prepare_home(Settings(home=tmp_path))
    assert json.loads((tmp_path / "home.json").read_text()) == {"kind": "simulated"}


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "other"}', "{}"])
def test_a_marker_that_says_nothing_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "home.json").write_text(text)
    with pytest.raises(ConfigError, match=r"home\.json"):
        home_kind(tmp_path)


def test_a_manifest_says_that_its_landing_is_simulated(homes: dict[str, Settings]) -> None:
    said = {kind: {x.request.get("simulated") for x in LandingStore(s.root).all()} for kind, s in homes.items()}
    assert said == {"real": {None}, "simulated": {True}}


@pytest.mark.parametrize(("kind", "other"), [("real", "simulated"), ("simulated", "real")])
def test_landings_of_the_other_kind_are_not_loaded(homes: dict[str, Settings], kind: str, other: str) -> None:
    settings = homes[kind]
    assert not load_pending(settings, gate=lambda con, inputs: []).failures
    shutil.copytree(homes[other].raw_dir, settings.raw_dir, dirs_exist_ok=True)
    # A further landing of the other kind, as of another day.
    for path in settings.raw_dir.rglob("*.manifest.json"):
        data = json.loads(path.read_text())
        if (data["request"].get("simulated") is True) == (other == "simulated"):
            path.write_text(json.dumps({**data, "version": data["version"] + 1}))
    outcome = load_pending(settings, gate=lambda con, inputs: [])
    assert list(outcome.failures) == [SOURCE]
    assert f"were made in a {other} home and this one is {kind}" in str(outcome.failures[SOURCE])
    with writer(settings, what="test") as con:
        assert con.execute("select count(*) from clean.candles").fetchall() == [(4,)]


def test_a_simulated_home_asks_emulators_and_no_real_venue(homes: dict[str, Settings]) -> None:
    with pytest.raises(ConfigError, match="asks no real venue"):
        fetch(homes["simulated"], "bybit", ["funding"])
    root = homes["simulated"].root
    check_endpoints_are_emulated(root, "bybit", {"api": "http://127.0.0.1:9/bybit", "files": "file:///mirror"})
    with pytest.raises(ConfigError, match="api: https"):
        check_endpoints_are_emulated(root, "bybit", {"api": "https://127.0.0.1.example.org"})
    check_endpoints_are_emulated(homes["real"].root, "bybit", {"api": "https://api.bybit.com"})


@pytest.mark.parametrize("kind", ["real", "simulated"])
def test_a_home_of_either_kind_is_rebuilt(homes: dict[str, Settings], kind: str) -> None:
    report = rebuild(homes[kind], gate=lambda con, inputs: [])
    assert sum(one.landings for one in report.outcome.reports) == 3
    assert home_kind(homes[kind].root) == kind
