"""Dagster's states follow from the landing: a day is green when it is landed and red when a run asked for it in vain; a feed is
fresh while nothing is due that a run should have brought.

The only module that uses names of Dagster that are not public: events of planned partitions and of freshness. A test covers
each of them. What is landed and due is decided in pipelines.extract.due.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType

from pipelines.core.files import write_atomically
from pipelines.core.settings import Settings
from pipelines.defs.common import feed_key
from pipelines.extract.due import Health, Missing
from pipelines.extract.landing import Clock

LANDED: Final = "landed"
"""Name of the check that every feed has."""

STATES_FILE: Final = "landing_states.json"
"""In dagster_home: the states that were reported last, since only changes are reported."""

SENSOR_SECONDS: Final = 600

WARN_AFTER: Final = timedelta(hours=27)
FAIL_AFTER: Final = timedelta(hours=36)
"""Age of what is built daily, from clean tables to the report, at which it is late, and at which it has failed."""

_FRESHNESS: Final[Mapping[Health, FreshnessState]] = {
    "good": FreshnessState.PASS,
    "late": FreshnessState.WARN,
    "failed": FreshnessState.FAIL,
}


def report_planned(instance: dg.DagsterInstance, run: dg.DagsterRun, key: dg.AssetKey, days: Iterable[str]) -> None:
    """Say that `run` wants to land days of an asset. Those that it does not materialize are red if it fails."""
    for day in days:
        event = DagsterEvent(
            event_type_value=DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
            job_name=run.job_name,
            message=f"{key.to_user_string()} {day} is due",
            event_specific_data=AssetMaterializationPlannedData(key, day),
        )
        instance.report_dagster_event(event, run.run_id)


def report_states(
    instance: dg.DagsterInstance,
    settings: Settings,
    *,
    now: datetime,
    venues: Collection[str] | None = None,
    built: Sequence[dg.AssetKey] = (),
) -> list[str]:
    """Report the feeds of `venues` (None: all), and the assets `built` daily, whose state has changed since the last report;
    return them. What Dagster shows as fresh follows from what is due, and not from the time of the last event."""
    from pipelines.extract.due import health
    from pipelines.operations.due import feed_states

    path = settings.dagster_home / STATES_FILE
    known = _read(path.read_bytes() if path.exists() else b"{}")
    changed = {}
    for feed in feed_states(settings, venues=venues):
        found = feed.missing(now)
        state = health(feed.feed, found, now)
        if known.get(feed.source) != state:
            key = feed_key(feed.venue.name, feed.feed.name)
            _report_freshness(instance, key, known.get(feed.source), state)
            _report_check(instance, key, state, found)
            changed[feed.source] = state
    for key, state in _ages(instance, settings, built).items():
        if known.get(key.to_user_string()) != state:
            _report_freshness(instance, key, known.get(key.to_user_string()), state)
            changed[key.to_user_string()] = state
    if changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({**known, **changed}, indent=1, sort_keys=True).encode())
    return sorted(changed)


def build_landing_sensor(settings: Settings, built: Sequence[dg.AssetKey], *, clock: Clock) -> dg.SensorDefinition:
    """The sensor that reports states which change without a run, such as a day that nobody has asked for."""
    seen: list[tuple[str, datetime]] = []

    @dg.sensor(
        name="landing_states",
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports the freshness and the check `landed` of feeds whose state has changed: what is due and not landed.",
    )
    def landing_states(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from pipelines.extract.due import changes_at
        from pipelines.operations.current import landing_state
        from pipelines.sources import registry

        # The names of the landing are read in a fraction of the time of its manifests and journal, which only grow.
        now, landing = clock(), landing_state(settings)
        is_same = any(landing == before and now < until for before, until in seen)
        changed = report_states(context.instance, settings, now=now, venues=() if is_same else None, built=built)
        if not is_same:
            feeds = (feed for name in registry.VENUES for feed in registry.venue(name).feeds)
            seen[:] = [(landing, min(changes_at(feed, now) for feed in feeds))]
        return dg.SkipReason(f"reported {', '.join(changed)}" if changed else "no state has changed")

    return landing_states


def _read(text: bytes) -> dict[str, Health]:
    """The states reported last; a damaged file means that all are reported again."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {name: state for name, state in found.items() if state in _FRESHNESS} if isinstance(found, dict) else {}


def _report_freshness(instance: dg.DagsterInstance, key: dg.AssetKey, before: Health | None, now: Health) -> None:
    instance.report_runless_asset_event(
        FreshnessStateChange(
            key=key,
            previous_state=FreshnessState.UNKNOWN if before is None else _FRESHNESS[before],
            new_state=_FRESHNESS[now],
            state_change_timestamp=time.time(),
        )
    )


def _report_check(instance: dg.DagsterInstance, key: dg.AssetKey, state: Health, found: Iterable[Missing]) -> None:
    due = sorted({f"{one.day} {one.subject}: {one.reason}" for one in found if one.can_be_had}, reverse=True)
    metadata: dict[str, Any] = {"due": dg.MetadataValue.text("\n".join(due[:100]) or "nothing")}
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=LANDED,
            passed=state != "failed",
            severity=dg.AssetCheckSeverity.WARN,
            metadata=metadata,
        )
    )


def _ages(instance: dg.DagsterInstance, settings: Settings, keys: Sequence[dg.AssetKey]) -> dict[dg.AssetKey, Health]:
    """The states of assets that are built daily; those never built have none. What a run found current is as good as built."""
    from pipelines.operations.current import CLEAN, LAYERS, MARTS, built_at

    ages: dict[dg.AssetKey, Health] = {}
    found = {layer: built_at(settings, layer) for layer in LAYERS}
    for record in instance.get_asset_records(keys) if keys else ():
        built = record.asset_entry.last_materialization
        if built is not None:
            current = found[CLEAN if record.asset_entry.asset_key.path[0] == "clean" else MARTS]
            seen = current.replace(tzinfo=UTC).timestamp() if current else 0.0
            age = timedelta(seconds=time.time() - max(built.timestamp, seen))
            ages[record.asset_entry.asset_key] = (
                "failed" if age > FAIL_AFTER else "late" if age > WARN_AFTER else "good"
            )
    return ages
