"""`doctor --repair` says of every landing that is lost or altered whether its venue still has it, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing, LandingStore
from pipelines.operations.fetch import fetch
from pipelines.operations.held_by_venue import BadLanding, bad_landings
from pipelines.operations.load import import_files, load_pending
from tests.sources.conftest import FAST_RETRY, Clock, Serve
from tests.unit.files_fixture import GOOD_ROW, LONG, LONG_HEADER

DAY = date(2024, 3, 8)


def rot(landing: Landing) -> None:
    """Change one byte, as a bad disk does."""
    content = bytearray(landing.path.read_bytes())
    content[len(content) // 2] ^= 1
    landing.path.write_bytes(bytes(content))


def found(settings: Settings, clock: Clock) -> Mapping[str, BadLanding]:
    return {bad.where.partition(" ")[0]: bad for bad in bad_landings(settings, retry=FAST_RETRY, clock=clock)}


def test_the_venue_of_a_rotten_pack_is_asked_and_the_pack_is_refused(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("bybit", settings=settings) as (_, served):
        fetch(served, "bybit", ["funding"], first=DAY, last=DAY, assets=["BTC"], retry=FAST_RETRY, clock=clock)
        store = LandingStore(settings.root)
        assert found(served, clock) == {}
        [funding] = store.current("bybit.funding")
        [instruments] = store.current("bybit.instruments")
        rot(funding)
        bad = found(served, clock)["bybit.funding"]
        assert (bad.held, "was altered after landing" in bad.fault) == ("yes", True)
        assert bad.why == "3 rows of BTCUSD on 2024-03-08"
        assert "leverhouse backfill bybit --feed funding --from 2024-03-08 --to 2024-03-08" in bad.next_step
        instruments.path.unlink()
        bad = found(served, clock)["bybit.instruments"]
        assert (bad.held, bad.why) == ("no", "it is a capture of a moment, which no venue keeps")
        refused = load_pending(settings, gate=lambda con, inputs: [], clock=clock).refused
    assert {(x.source, x.reason) for x in refused} >= {("bybit.funding", "altered"), ("bybit.instruments", "altered")}


def test_what_a_venue_does_not_keep_any_more_and_what_was_imported_is_not_asked_for(
    settings: Settings, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "mapping.toml").write_text(LONG, encoding="utf-8")
    (tmp_path / "a.csv").write_text(LONG_HEADER + GOOD_ROW, encoding="utf-8")
    [imported] = import_files(settings, tmp_path / "mapping.toml", files=[tmp_path / "a.csv"])
    rot(imported)
    store = LandingStore(settings.root)
    day = clock.now - timedelta(days=200)
    span = [f"{day:%Y-%m-%d}T00:00:00", f"{day:%Y-%m-%d}T12:00:00"]
    (tmp_path / "pack").write_bytes(b"x")
    old = store.land_file(
        tmp_path / "pack",
        source="binance.open_interest",
        partition=f"{day:%Y-%m-%d}",
        part="all",
        request={"span": span},
    )
    rot(old)
    bad = found(settings, clock)
    assert (bad["files.example"].held, bad["files.example"].next_step) == (
        "unknown",
        "restore it, or import a.csv again",
    )
    assert (bad["binance.open_interest"].held, bad["binance.open_interest"].why) == ("no", "binance keeps 29 days")


def test_a_damaged_manifest_is_named(settings: Settings, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x")
    landed = LandingStore(settings.root).land_file(
        tmp_path / "a.csv", source="files.x", partition="history", part="a.csv", request={}
    )
    landed.path.with_name(f"{landed.path.name}.manifest.json").write_bytes(b"{")
    bad = found(settings, clock)["manifest"]
    assert "cannot be read" in bad.fault
    assert bad.held == "unknown"
