"""Where everything lives and how much it may use: typed settings from the environment and leverhouse.toml.

No I/O at import; nothing here opens a database or creates a folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipelines.core.errors import ConfigError

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def _comma_list(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


# In the environment a list is written with commas, in leverhouse.toml as an array.
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


class Settings(BaseSettings):
    """Settings of one warehouse. Environment variables (prefix LEVERHOUSE_) win over leverhouse.toml in the project root.

    Secrets (keys of optional services) are read from the environment where they are used and are never a field here,
    so that printing the settings can never print one.
    """

    model_config = SettingsConfigDict(
        env_prefix="LEVERHOUSE_", toml_file=PROJECT_ROOT / "leverhouse.toml", frozen=True, extra="forbid"
    )

    home: Path = Field(
        default=PROJECT_ROOT / "warehouse", description="Root of this warehouse: all data lies below it."
    )
    mappings: Path | None = Field(default=None, description="Folder of mapping files; default <home>/mappings.")
    duckdb_memory: str = Field(default="512MB", description="memory_limit of the writing DuckDB connection.")
    duckdb_threads: int = Field(default=2, ge=1, description="Threads of the writing DuckDB connection.")
    assets: Names = Field(
        default=(),
        description="Assets that are fetched; empty: the universe (pipelines/core/universe.py says by which rule).",
    )
    venues: Names = Field(default=(), description="Venues that are fetched; empty: all that need no key.")
    endpoints: dict[str, str] = Field(
        default_factory=dict,
        description="Base addresses by <venue>.<endpoint> in place of the venue's own: a mirror (also file://), an emulator.",
    )
    contact: str = Field(default="", description="How a venue reaches you; sent in the User-Agent where it is set.")
    lock_timeout_seconds: float = Field(default=600.0, ge=0, description="How long a writer waits for another writer.")

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
        """The settings of this process. Raises ConfigError naming the variable that is wrong."""
        try:
            return cls()
        except ValidationError as error:
            faults = "; ".join(
                f"LEVERHOUSE_{'_'.join(str(part) for part in fault['loc']).upper()}: {fault['msg']}"
                for fault in error.errors()
            )
            raise ConfigError(f"settings: {faults}. Correct the environment or leverhouse.toml.") from error

    def endpoints_of(self, venue: str) -> dict[str, str]:
        """The base addresses that replace or add to those of `venue`, by the name of the endpoint."""
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
        """Spill files of DuckDB; empty between runs."""
        return self.root / "scratch"

    @property
    def published_dir(self) -> Path:
        return self.root / "published"

    @property
    def published_database(self) -> Path:
        """The only file that readers open."""
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
        """dbt's artifacts: per warehouse, so that two warehouses can build side by side."""
        return self.root / "dbt_target"

    @property
    def schema_dir(self) -> Path:
        return PROJECT_ROOT / "warehouse" / "schema"

    @property
    def dbt_project_dir(self) -> Path:
        return PROJECT_ROOT / "dbt_project"
