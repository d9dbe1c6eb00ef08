"""Landing assets of imported files, one per data set; operations.import_check does the work."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from pipelines.core.errors import MappingError
from pipelines.core.settings import Settings
from pipelines.defs.clean import table_load_metadata
from pipelines.defs.common import OWNERS, WRITER_POOL, clean_key, raw_key, step, table_metadata
from pipelines.operations.datasets import Dataset, waiting_files
from pipelines.operations.observer import Observer

if TYPE_CHECKING:
    from pipelines.extract.landing import Landing


class FilesConfig(dg.Config):
    """Which files to land; by default those in the inbox of the data set."""

    files: list[str] = Field(default=[], description="Paths of single files.")
    root: str | None = Field(default=None, description="Folder to search for files that match the mapping.")
    accept: str | None = Field(
        default=None, description="Why the files are right, to take them although the gate refuses them."
    )


def build_raw_assets(
    settings: Settings, datasets: Sequence[Dataset], *, observer: Observer
) -> list[dg.AssetsDefinition]:
    """One landing asset per data set."""
    return [_raw_asset(settings, dataset, observer) for dataset in datasets]


def _raw_asset(settings: Settings, dataset: Dataset, observer: Observer) -> dg.AssetsDefinition:
    description = dataset.description or dataset.fault or "Imported files."

    @dg.asset(
        key=raw_key(dataset.name),
        group_name="landing",
        owners=OWNERS,
        kinds={"file"},
        pool=WRITER_POOL,
        description=f"{description} Files are checked, then landed and loaded; place them in inbox/{dataset.name}/.",
        metadata={"mapping": dg.MetadataValue.path(dataset.mapping), "source": dataset.source},
    )
    def landing(context: dg.AssetExecutionContext, config: FilesConfig) -> dg.MaterializeResult:  # type: ignore[type-arg]
        from pipelines.extract.landing import LandingStore
        from pipelines.operations.diagnostics import inspect_clean
        from pipelines.operations.import_check import import_checked
        from pipelines.operations.load import LoadOutcome

        with step(context, settings, observer):
            if dataset.fault is not None:
                raise MappingError(dataset.fault)
            waiting = waiting_files(settings, dataset, now=time.time())
            root = Path(config.root) if config.root else None
            files = [Path(file) for file in config.files] or ([] if root else list(waiting))
            new: Sequence[Landing] = ()
            unchanged = 0
            if files or root:
                report = import_checked(
                    settings, dataset.mapping, paths=[*files, *([root] if root else [])], accept=config.accept,
                    progress=observer.progress,
                )  # fmt: skip
                new, unchanged = report.landed, len(report.unchanged)
                observer.imported(dataset.name, report)
                outcome = LoadOutcome((report.load,), {}, is_import=True)
                if report.load.tables:
                    # The load that follows finds these rows loaded, and does not run where another data set fails.
                    states, _ = inspect_clean(settings)
                    for name in sorted({loaded.table for loaded in report.load.tables}):
                        metadata = table_load_metadata(name, outcome, states[name])
                        context.log_event(dg.AssetMaterialization(clean_key(name), metadata=metadata))
                outcome.raise_failures()
            held = LandingStore(settings.root).current(dataset.source)
            return dg.MaterializeResult(
                metadata={
                    "landed": len(new),
                    "unchanged": unchanged,
                    "current_landings": len(held),
                    "current_bytes": sum(landing.bytes for landing in held),
                    "files": table_metadata(
                        [
                            {"part": x.part, "version": x.version, "bytes": x.bytes, "sha256": x.sha256[:12]}
                            for x in new[:50]
                        ]
                    ),
                }
            )

    return landing
