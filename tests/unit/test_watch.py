"""What a home is watched for: lost slots and days about to be forgotten come from what is due."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.plan_start import freeze_plan
from pipelines.operations.alerts import alerts
from pipelines.operations.watch import LOOK_EVERY, Watch, missing_parts

NOW = datetime(2026, 11, 30, 12, 20)
BEGUN = datetime(2026, 11, 29, 6)


def test_slots_that_nobody_captured_are_lost_for_a_day(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, venues=("bybit",))
    freeze_plan(LandingStore(tmp_path).raw_dir, "bybit.option_chain", BEGUN)
    lost = missing_parts(settings, NOW)
    slots = [part.part for part in lost if part.source == "bybit.option_chain" and part.until is None]
    assert slots[0] == "2026-11-29 13:00"
    assert slots[-1] == "2026-11-30 11:00", "the slot of now can still be captured"
    [alert] = [one for one in alerts(Watch(settings).state(NOW), NOW) if one.kind == "slot lost"]
    assert alert.subject == "bybit.option_chain"
    assert "and 20 more" in alert.text


def test_what_is_missing_is_looked_for_every_ten_minutes(tmp_path: Path) -> None:
    watch = Watch(Settings(home=tmp_path, venues=("bybit",)))
    assert watch.missing(NOW) == ()
    freeze_plan(LandingStore(tmp_path).raw_dir, "bybit.option_chain", BEGUN)
    assert watch.missing(NOW + LOOK_EVERY - timedelta(seconds=1)) == ()
    assert watch.missing(NOW + LOOK_EVERY) != ()
