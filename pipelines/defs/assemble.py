"""Builds all Dagster definitions of a warehouse from its settings; reads no environment variables."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from pipelines.contract.ddl import load_contract
from pipelines.core.home_kind import is_simulated
from pipelines.core.settings import Settings
from pipelines.defs.checks import build_mart_checks
from pipelines.defs.clean import build_clean_assets
from pipelines.defs.jobs import build_jobs
from pipelines.defs.landed import build_landing_sensor
from pipelines.defs.launcher import leased_executor
from pipelines.defs.marts import build_mart_assets, mart_keys
from pipelines.defs.publish import build_published_asset, build_report_asset
from pipelines.defs.raw import build_raw_assets
from pipelines.defs.retention import build_retention_job, build_retention_schedule
from pipelines.defs.schedules import build_schedules
from pipelines.defs.sensors import build_sensors
from pipelines.defs.steps import build_job, load_job
from pipelines.defs.venues import build_venue_assets, build_venue_jobs
from pipelines.extract.landing import Clock, utc_now
from pipelines.operations.build import ensure_manifest
from pipelines.operations.datasets import find_datasets
from pipelines.operations.observer import Observer
from pipelines.sources.registry import followed_venues


def build_definitions(
    settings: Settings,
    *,
    observer: Observer | None = None,
    mappings: Iterable[Path] = (),
    manifest: Path | None = None,
    clock: Clock = utc_now,
) -> dg.Definitions:
    """All Dagster definitions of one warehouse.

    `observer` receives the events of runs in this process; `mappings` adds data sets to those of settings.mappings_dir;
    `manifest` replaces the manifest of the dbt project; `clock` is the clock of the fetch steps. Raises LeverhouseError if
    the contract or the dbt project is invalid; an invalid mapping fails only its own asset.
    """
    observer = observer or Observer()
    contract = load_contract(settings.schema_dir)
    datasets = find_datasets(settings, extra=mappings)
    venues = followed_venues(settings)
    parsed = manifest or ensure_manifest(settings)
    # A simulated market ends on a fixed day; nothing of it changes by itself.
    simulated = is_simulated(settings.root)
    clean = build_clean_assets(settings, contract, datasets, venues, observer=observer)
    marts = build_mart_assets(settings, parsed, observer=observer)
    return dg.Definitions(
        assets=[
            *build_raw_assets(settings, datasets, observer=observer),
            *build_venue_assets(settings, venues, observer=observer, clock=clock),
            clean,
            *marts,
            build_published_asset(settings, mart_keys(marts), parsed, observer=observer),
            build_report_asset(settings, observer=observer),
        ],
        asset_checks=build_mart_checks(settings, mart_keys(marts)),
        jobs=[
            *build_jobs(settings, observer=observer),
            load_job(settings, contract, observer=observer),
            build_job(settings, mart_keys(marts), parsed, observer=observer),
            *build_venue_jobs(settings, venues, observer=observer, clock=clock),
            build_retention_job(settings, observer=observer),
        ],
        schedules=[] if simulated else [*build_schedules(venues), build_retention_schedule()],
        sensors=[]
        if simulated
        else [
            *build_sensors(settings, datasets, list(contract.clean)),
            build_landing_sensor(settings, [*clean.keys, *mart_keys(marts)], clock=clock),
        ],
        executor=leased_executor,
    )
