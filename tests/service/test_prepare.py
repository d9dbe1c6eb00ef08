"""What the service does and says before its daemon runs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.lease import Leases
from pipelines.core.paths import environment, prepare_home
from pipelines.core.settings import Settings
from pipelines.service.prepare import announcement, prepare, when
from pipelines.sources import registry


def test_the_service_says_which_venues_it_will_ask_and_when() -> None:
    venues = [registry.venue(name) for name in ("bybit", "binance_archive")]
    assert list(announcement(venues)) == [
        "asks 2 venues daily at 03:30 UTC: binance_archive, bybit",
        "asks 2 venues every hour at minute 5: binance_archive, bybit",
    ]
    assert list(announcement([])) == ["no venue is asked by itself"]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("30 3 * * *", "daily at 03:30 UTC"),
        ("5 * * * *", "every hour at minute 5"),
        ("5 */6 * * *", "at '5 */6 * * *' (UTC)"),
        ("0 1 * * 1", "at '0 1 * * 1' (UTC)"),
    ],
)
def test_times_are_said_in_words(cron: str, words: str) -> None:
    assert when(cron) == words


def test_pools_have_their_place_before_the_daemon_meets_them(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    leases = Leases.of(settings)
    leases.declare_lost("over")
    with environment(DAGSTER_HOME=str(settings.dagster_home)), dg.DagsterInstance.get() as instance:
        prepare(instance, settings, [registry.venue("bybit")])
        limits = {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}
    assert limits == {"warehouse_writer": 1, "venue_bybit": 1}
    assert not leases.is_lost("over")
