"""Typed settings from the environment and leverhouse.toml: paths, resource limits, venues, assets.

No I/O at import; opens no database and creates no folder.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from platformdirs import user_config_path, user_data_path
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipelines.core.errors import ConfigError
from pipelines.core.words import nearest

PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
"""The folder that holds the package `pipelines`: the checkout, or where it is installed."""
_CARRIED: Final = PACKAGE_ROOT / "pipelines" / "_project"
IS_INSTALLED: Final = _CARRIED.is_dir()
"""Whether this package came as a wheel, which carries the project's other files in itself."""
PROJECT_ROOT: Final = _CARRIED if IS_INSTALLED else PACKAGE_ROOT
"""The folder that holds dbt_project and warehouse/schema. Nothing is ever written to it where the package is installed."""

SETTINGS_FILE: Final = (
    user_config_path("leverhouse", appauthor=False) if IS_INSTALLED else PROJECT_ROOT
) / "leverhouse.toml"


def default_home() -> Path:
    """The home where none is named: the checkout's `warehouse`, or the user's data folder if the package is installed.

    Never the current folder: the same command means the same warehouse wherever it is typed.
    """
    return user_data_path("leverhouse", appauthor=False) if IS_INSTALLED else PROJECT_ROOT / "warehouse"


def _comma_list(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


# Lists are comma-separated in the environment and arrays in leverhouse.toml.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


OTHER_VARIABLES: Final = frozenset(
    {
        "LEVERHOUSE_DATABASE", "LEVERHOUSE_PARQUET",
        "LEVERHOUSE_RECORDED", "LEVERHOUSE_SAMPLES", "LEVERHOUSE_FIELD", "LEVERHOUSE_REFERENCE",
    }
)  # fmt: skip
"""Variables of this project that are no settings: what dbt's profile reads, and where the tests find their material."""
BENCHMARKS: Final = "LEVERHOUSE_BENCH_"


def _base_urls(endpoints: dict[str, str]) -> dict[str, str]:
    for name, address in endpoints.items():
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https", "file"} or not (
            parts.netloc or (parts.scheme == "file" and parts.path)
        ):
            # The address may hold a key and is not shown.
            raise ValueError(f"{name} is no address: write http://, https:// or file:// and where it leads")
        if name.count(".") != 1:
            raise ValueError(f"{name!r} is not <venue>.<endpoint>")
    return endpoints


class Settings(BaseSettings):
    """Settings of one warehouse. Environment variables (prefix LEVERHOUSE_) override leverhouse.toml, which lies in the
    checkout, or in the user's folder of settings where the package is installed.

    Secrets (keys of optional services) are read from the environment where they are used and are never a field here,
    so that printing the settings cannot print one.
    """

    model_config = SettingsConfigDict(env_prefix="LEVERHOUSE_", toml_file=SETTINGS_FILE, frozen=True, extra="forbid")

    home: Path = Field(
        default_factory=default_home, description="Root folder of this warehouse; contains all of its data."
    )
    mappings: Path | None = Field(default=None, description="Folder of mapping files; default <home>/mappings.")
    duckdb_memory: str = Field(default="512MB", description="memory_limit of the writing DuckDB connection.")
    build_memory: str = Field(default="1GB", description="memory_limit of DuckDB while dbt builds; more goes to disk.")
    duckdb_threads: int = Field(default=2, ge=1, description="Threads of the writing DuckDB connection.")
    assets: Names = Field(
        default=(),
        description="Assets to fetch; empty: the universe (rule in pipelines/core/universe.py).",
    )
    venues: Names = Field(default=(), description="Venues to fetch; empty: all that need no key.")
    endpoints: Annotated[dict[str, str], AfterValidator(_base_urls)] = Field(
        default_factory=dict,
        description="Base URLs by <venue>.<endpoint>, overriding the venue's own: a mirror (also file://), an emulator.",
    )
    contact: str = Field(default="", description="Contact address for venues; sent in the User-Agent if set.")
    kept_snapshots: int = Field(
        default=2, ge=1, description="Published snapshots that are kept, the current one included."
    )
    lock_timeout_seconds: float = Field(default=600.0, ge=0, description="How long a writer waits for the writer lock.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))

    @classmethod
    def load(cls) -> Self:
        """The settings of this process. Raises ConfigError naming the invalid or unknown variable."""
        known = {f"LEVERHOUSE_{name.upper()}" for name in cls.model_fields}
        for name in sorted(os.environ):
            if (
                name.startswith("LEVERHOUSE_")
                and name not in known | OTHER_VARIABLES
                and not name.startswith(BENCHMARKS)
            ):
                raise ConfigError(f"settings: there is no {name}.{nearest(name, known)}")
        try:
            return cls()
        except ValidationError as error:
            faults = "; ".join(
                f"LEVERHOUSE_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
                for fault in error.errors()
            )
            raise ConfigError(f"settings: {faults}. Correct the environment or leverhouse.toml.") from error

    def endpoints_of(self, venue: str) -> dict[str, str]:
        """Base URLs that override or extend those of `venue`, by endpoint name."""
        named = (key.partition(".") for key in self.endpoints)
        return {name: self.endpoints[f"{venue}.{name}"] for owner, _, name in named if owner == venue}

    @property
    def root(self) -> Path:
        """Absolute home."""
        return self.home.expanduser().resolve()

    @property
    def raw_dir(self) -> Path:
        return self.root / "raw"

    @property
    def database(self) -> Path:
        """The working database; only writers open it."""
        return self.root / "leverhouse.duckdb"

    @property
    def lock_file(self) -> Path:
        return self.root / "leverhouse.lock"

    @property
    def scratch_dir(self) -> Path:
        """DuckDB spill files; empty between runs."""
        return self.root / "scratch"

    @property
    def published_dir(self) -> Path:
        return self.root / "published"

    @property
    def published_database(self) -> Path:
        """The only name that readers open: a link to the newest snapshot."""
        return self.published_dir / "leverhouse.duckdb"

    @property
    def dagster_home(self) -> Path:
        return self.root / "dagster_home"

    @property
    def inbox_dir(self) -> Path:
        return self.root / "inbox"

    @property
    def mappings_dir(self) -> Path:
        return self.mappings.expanduser().resolve() if self.mappings else self.root / "mappings"

    @property
    def dbt_target_dir(self) -> Path:
        """dbt artifacts: one folder per warehouse, so that two warehouses can build at the same time."""
        return self.root / "dbt_target"

    @property
    def schema_dir(self) -> Path:
        return PROJECT_ROOT / "warehouse" / "schema"

    @property
    def dbt_project_dir(self) -> Path:
        return PROJECT_ROOT / "dbt_project"
