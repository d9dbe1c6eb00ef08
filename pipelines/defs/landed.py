"""Dagster's states follow from the landing: a day is green when it is landed and red when a run asked for it in vain.

The only module that uses names of Dagster that are not public: events of planned partitions and of freshness. A test covers
each of them. What is landed and due is decided in pipelines.extract.due.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent, DagsterEventType

from pipelines.extract.due import Health

LANDED: str = "landed"
"""Name of the check that every feed has."""

_STATES = {"good": FreshnessState.PASS, "late": FreshnessState.WARN, "failed": FreshnessState.FAIL}


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


def report_health(
    instance: dg.DagsterInstance, key: dg.AssetKey, *, before: Health | None, now: Health, found: Collection[str]
) -> None:
    """Show the freshness of an asset and its check `landed`. Called when the state has changed; `found` is what is due."""
    instance.report_runless_asset_event(
        FreshnessStateChange(
            key=key,
            previous_state=FreshnessState.UNKNOWN if before is None else _STATES[before],
            new_state=_STATES[now],
            state_change_timestamp=time.time(),
        )
    )
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=LANDED,
            passed=now != "failed",
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"due": dg.MetadataValue.text("\n".join(sorted(found)[:100]) or "nothing")},
        )
    )
