"""The Dagster definitions of a warehouse: assets by layer, jobs, schedules and sensors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.home_kind import mark_home
from pipelines.core.paths import environment, prepare_home
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.defs.assemble import build_definitions
from pipelines.defs.common import WRITER_POOL
from pipelines.defs.marts import GROUPS, MART_GROUPS, STATISTICS, Translator
from pipelines.sources import registry

LAYERS = ["landing", "clean", *GROUPS, "published"]

_IMPORT = """
import sys
import pipelines.definitions
print([name for name in ("great_expectations", "pandas") if name in sys.modules])
"""


def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return list(definitions.resolve_all_asset_specs())


def keys_of(definitions: dg.Definitions, group: str) -> set[str]:
    return {spec.key.to_user_string() for spec in specs(definitions) if spec.group_name == group}


def test_importing_the_definitions_loads_neither_great_expectations_nor_pandas(
    tmp_path: Path, spare_parsing: Callable[[Settings], None]
) -> None:
    spare_parsing(Settings(home=tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT],
        cwd=PROJECT_ROOT,
        env=os.environ | {"LEVERHOUSE_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_all_definitions_are_loadable_together(definitions: dg.Definitions) -> None:
    """Only a code server, which loads everything, fails if a job and a step have the same name."""
    dg.Definitions.validate_loadable(definitions)
    definitions.get_repository_def().load_all_definitions()


def test_the_layers_of_the_architecture_are_the_groups(definitions: dg.Definitions) -> None:
    assert {spec.group_name for spec in specs(definitions)} == {*LAYERS}


def test_every_data_set_and_every_feed_of_a_venue_is_a_landing_asset(definitions: dg.Definitions) -> None:
    feeds = {f"raw/bybit/{feed.name}" for feed in registry.venue("bybit").feeds}
    assert keys_of(definitions, "landing") == {"raw/files/example", *feeds}


def test_every_clean_table_of_the_contract_is_an_asset(definitions: dg.Definitions, home: Settings) -> None:
    tables = load_contract(home.schema_dir).clean
    assert keys_of(definitions, "clean") == {f"clean/{table}" for table in tables} | {"clean/ledger"}


def test_every_model_and_seed_of_dbt_is_an_asset_of_its_layer(definitions: dg.Definitions, parsed: Path) -> None:
    nodes = json.loads(parsed.read_text(encoding="utf-8"))["nodes"].values()
    models = {f"{node['schema']}/{node['name']}" for node in nodes if node["resource_type"] == "model"}
    seeds = {f"seeds/{node['name']}" for node in nodes if node["resource_type"] == "seed"}
    fitted = {f"stats/{table}" for table in STATISTICS}
    assert models
    assert set.union(*(keys_of(definitions, group) for group in GROUPS)) == models | seeds | fitted
    assert keys_of(definitions, "seeds") == seeds
    assert {key for key in models if key.startswith("marts/")} <= set.union(
        *(keys_of(definitions, group) for group in MART_GROUPS)
    )


def test_the_group_of_a_model_is_its_folder(definitions: dg.Definitions) -> None:
    group = {spec.key.to_user_string(): spec.group_name for spec in specs(definitions)}
    assert group["staging/stg_candles"] == "staging"
    assert group["intermediate/int_candles_by_source"] == "intermediate"
    assert group["marts/fct_price_daily"] == "facts"
    assert group["marts/oi_trends_daily"] == "analysis"
    assert group["intermediate/int_oi_by_venue_daily"] == "analysis"


def test_a_model_in_an_unknown_folder_is_refused() -> None:
    model = {"resource_type": "model", "name": "loose", "schema": "marts", "fqn": ["leverhouse", "marts", "loose"]}
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="models/marts, which is none of staging"):
        Translator().get_group_name(model)


def test_data_flows_from_landing_to_the_published_file_and_never_back(definitions: dg.Definitions) -> None:
    rank = {layer: number for number, layer in enumerate(LAYERS)}
    group = {spec.key: spec.group_name or "" for spec in specs(definitions)}
    backwards = [
        f"{dep.asset_key.to_user_string()} -> {spec.key.to_user_string()}"
        for spec in specs(definitions)
        for dep in spec.deps
        if rank[group[dep.asset_key]] > rank[group[spec.key]]
    ]
    assert backwards == []


def test_a_clean_table_depends_on_the_data_sets_that_feed_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    raw = dg.AssetKey(["raw", "files", "example"])
    fed = {key.path[-1] for key in graph.get(raw).child_keys}
    assert fed == {"candles", "open_interest", "funding_rates", "instruments", "ledger"}


def test_every_asset_has_a_description_an_owner_and_a_kind(definitions: dg.Definitions) -> None:
    incomplete = [
        spec.key.to_user_string()
        for spec in specs(definitions)
        if not spec.description or spec.owners != ["team:data"] or not spec.kinds
    ]
    assert incomplete == []


def test_feeds_have_days_of_their_own_and_are_backfilled_in_one_run(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for feed in registry.venue("bybit").feeds:
        node = graph.get(dg.AssetKey(["raw", "bybit", feed.name]))
        if feed.cadence.name == "daily":
            assert node.partitions_def == dg.DailyPartitionsDefinition(start_date=str(feed.retention.since))
            assert node.backfill_policy == dg.BackfillPolicy.single_run()
        else:
            assert node.partitions_def is None


def test_columns_of_clean_tables_are_shown_with_their_comments(definitions: dg.Definitions) -> None:
    candles = next(spec for spec in specs(definitions) if spec.key == dg.AssetKey(["clean", "candles"]))
    schema = candles.metadata["dagster/column_schema"]
    assert all(column.description for column in schema.columns)
    assert {"venue", "close", "available_at"} <= {column.name for column in schema.columns}


def test_jobs_schedules_and_sensors(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    base_jobs = {"ingest_files", "load", "build", "publish", "everything", "rebuild", "retention"}
    assert jobs == base_jobs | {"fetch_bybit", "capture_bybit"}
    assert {(s.name, s.cron_schedule, s.job_name) for s in repository.schedule_defs} == {
        ("ingest_files_daily", "30 3 * * *", "ingest_files"),
        ("fetch_bybit_daily", "30 3 * * *", "fetch_bybit"),
        ("capture_bybit_hourly", "5 * * * *", "capture_bybit"),
        ("retention_daily", "15 2 * * *", "retention"),
    }
    assert {s.name for s in repository.sensor_defs} == {
        "inbox",
        "load_after_landing",
        "build_after_ingest",
        "alerts",
        "landing_states",
    }


def test_a_simulated_home_has_no_schedule_and_no_sensor(tmp_path: Path, parsed: Path) -> None:
    settings = Settings(home=tmp_path, venues=("bybit",))
    mark_home(tmp_path, "simulated")
    repository = build_definitions(settings, manifest=parsed).get_repository_def()
    assert (repository.schedule_defs, repository.sensor_defs) == ([], [])
    assert "capture_bybit" in repository.job_names


def test_ingestion_and_build_share_no_asset(definitions: dg.Definitions) -> None:
    ingest, build = (
        set(definitions.resolve_job_def(name).asset_layer.executable_asset_keys) for name in ("ingest_files", "build")
    )
    assert ingest.isdisjoint(build)


def test_the_checks_of_a_clean_table_and_of_a_mart(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    names: dict[str, set[str]] = {}
    for key in graph.asset_check_keys:
        names.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    assert names["clean/candles"] == {"gate", "reconciliation", "coverage"}
    assert names["marts/fct_price_daily"] == {"dbt_tests"}
    assert names["marts/source_freshness"] == {"dbt_tests", "newest_day", "recorders"}
    assert names["marts/data_coverage_daily"] == {"dbt_tests", "coverage"}
    assert names["marts/liquidation_levels_summary_daily"] == {"dbt_tests", "identity"}
    assert names["marts/signal_scorecard"] == {"dbt_tests", "false_positive_rate"}
    assert names["marts/liquidation_levels_skill_daily"] == {"dbt_tests", "skill"}


def test_every_scheduled_asset_has_a_freshness_policy(definitions: dg.Definitions) -> None:
    without = [
        spec.key.to_user_string()
        for spec in specs(definitions)
        if (spec.group_name in {"clean", *MART_GROUPS, "published"} or spec.key.path[:2] == ["raw", "bybit"])
        and spec.freshness_policy is None
    ]
    assert without == []


def test_only_one_step_of_a_venue_runs_at_a_time(definitions: dg.Definitions) -> None:
    pools = {
        node.definition.name: node.definition.pools
        for job in ("fetch_bybit", "capture_bybit")
        for node in definitions.resolve_job_def(job).nodes
    }
    assert pools == {"bybit_days": {"venue_bybit"}, "bybit_captures": {"venue_bybit"}}


def test_a_clean_table_depends_on_the_feeds_that_feed_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    fed = {key.path[-1] for key in graph.get(dg.AssetKey(["raw", "bybit", "funding"])).child_keys}
    assert fed == {"funding_rates", "ledger"}


def test_everything_that_writes_the_warehouse_is_in_the_pool(definitions: dg.Definitions) -> None:
    nodes = definitions.resolve_job_def("everything").nodes
    pools = {node.name: node.definition.pools for node in nodes}
    outside = {name for name, pool_names in pools.items() if pool_names != {WRITER_POOL}}
    # Asking recorders how they are, and drawing what is published, leave the warehouse as it is.
    assert outside == {"marts__source_freshness_recorders", "published__report"}


def test_the_pool_has_a_limit_and_a_failed_step_is_not_retried_by_default(home: Settings) -> None:
    prepare_home(home)
    with environment(DAGSTER_HOME=str(home.dagster_home)), dg.DagsterInstance.get() as instance:
        assert instance.event_log_storage.get_pool_config().default_pool_limit == 1
        assert (instance.run_retries_max_retries, instance.run_retries_retry_on_asset_or_op_failure) == (1, False)
        assert not instance.telemetry_enabled


def test_a_broken_mapping_breaks_only_its_own_asset(home: Settings, parsed: Path) -> None:
    (home.mappings_dir / "broken.toml").write_text("dataset = ", encoding="utf-8")
    definitions = build_definitions(home, manifest=parsed)
    assert {"raw/files/example", "raw/files/broken"} <= keys_of(definitions, "landing")
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("ingest_files").execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["raw", "files", "broken"])], raise_on_error=False
        )
    failure = result.failure_data_for_node("raw__files__broken")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert "broken.toml" in (failure.user_failure_data.description or "")
