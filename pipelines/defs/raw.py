"""Landing assets of imported files, one per data set; operations.load.import_files does the work."""

import time
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from pydantic import Field

from pipelines.core.errors import MappingError
from pipelines.core.settings import Settings
from pipelines.defs.common import OWNERS, raw_key, step, table_metadata
from pipelines.operations.datasets import Dataset, waiting_files
from pipelines.operations.observer import Observer


class FilesConfig(dg.Config):
    """Which files to land; by default those in the inbox of the data set."""

    files: list[str] = Field(default=[], description="Paths of single files.")
    root: str | None = Field(default=None, description="Folder to search for files that match the mapping.")


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
        description=f"{description} Bytes as received, each with a manifest; place files in inbox/{dataset.name}/.",
        metadata={"mapping": dg.MetadataValue.path(dataset.mapping), "source": dataset.source},
    )
    def landing(context: dg.AssetExecutionContext, config: FilesConfig) -> dg.MaterializeResult:  # type: ignore[type-arg]
        from pipelines.extract.landing import LandingStore, utc_now
        from pipelines.operations.load import import_files

        with step(context, settings, observer):
            if dataset.fault is not None:
                raise MappingError(dataset.fault)
            started = utc_now()
            waiting = waiting_files(settings, dataset.name, now=time.time())
            root = Path(config.root) if config.root else None
            files = [Path(file) for file in config.files] or ([] if root else list(waiting))
            landings = (
                import_files(settings, dataset.mapping, files=files or None, root=root, progress=observer.progress)
                if files or root
                else ()
            )
            new = [landing for landing in landings if landing.fetched_at >= started]
            observer.landed(dataset.name, landings, new=len(new))
            held = LandingStore(settings.root).current(dataset.source)
            return dg.MaterializeResult(
                metadata={
                    "landed": len(new),
                    "unchanged": len(landings) - len(new),
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
