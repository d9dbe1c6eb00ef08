"""Typed settings from the environment and leverhouse.toml: paths, resource limits, venues, assets.

No I/O at import; opens no database and creates no folder.
"""

from __future__ import annotations

import os
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from platformdirs import user_config_path, user_data_path
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pipelines.core import redaction
from pipelines.core.errors import ConfigError
from pipelines.core.limits import DEFAULTS, Limits
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


ALERTS: Final = ("LEVERHOUSE_ALERT_WEBHOOK", "LEVERHOUSE_ALERT_MAIL", "LEVERHOUSE_ALERT_APPRISE")
"""Variables that say where alerts are sent. They hold keys, and are read where they are used."""

OTHER_VARIABLES: Final = frozenset(
    {
        *ALERTS,
        "LEVERHOUSE_DATABASE", "LEVERHOUSE_PARQUET",
        "LEVERHOUSE_RECORDED", "LEVERHOUSE_SAMPLES", "LEVERHOUSE_FIELD", "LEVERHOUSE_REFERENCE",
    }
)  # fmt: skip
"""Variables of this project that are no settings: those of alerts, what dbt's profile reads, where the tests find their data."""
BENCHMARKS: Final = "LEVERHOUSE_BENCH_"

PREFIX: Final = "LEVERHOUSE_"
_ENDPOINT: Final = re.compile(r"[a-z0-9_]{1,60}\.[a-z0-9_]{1,60}")
_HOST: Final = re.compile(r"[\w.-]+|\[[0-9a-fA-F:.]+\]")
_MEMORY: Final = re.compile(r"[0-9]+(\.[0-9]+)? ?([KMGT]i?B|%)", re.IGNORECASE)


def _base_urls(endpoints: dict[str, str]) -> dict[str, str]:
    for name, address in endpoints.items():
        if not _ENDPOINT.fullmatch(name):
            # Neither is shown: whoever wrote the address on the wrong side wrote a key there.
            raise ValueError("a name under endpoints is not <venue>.<endpoint>")
        if not _is_base_url(address):
            # The address may hold a key and is not shown.
            raise ValueError(f"{name} is no address: write http://, https:// or file:// and where it leads")
    return endpoints


def _is_base_url(address: str) -> bool:
    if not address.isprintable() or any(character.isspace() for character in address.strip()):
        return False
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        # Brackets that do not match, a port that is no number.
        return False
    if parts.scheme == "file":
        return parts.path.startswith("/") and parts.netloc in {"", "localhost"}
    host = parts.netloc.rpartition("@")[2].removesuffix(f":{port}" if port is not None else ":")
    return parts.scheme in {"http", "https"} and port != 0 and _HOST.fullmatch(host) is not None


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text.strip()):
        raise ValueError("write a number and its unit, such as 512MB or 2GB")
    return text.strip()


def _header_text(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("it is sent in a header: write one line of ASCII characters")
    return text


def _assets(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not re.fullmatch(r"[^\W_][\w.]{0,40}", name):
            raise ValueError(f"{name[:40]!r} is no asset")
    return names


def _one_line(folder: Path) -> Path:
    """Refuses names that libraries, logs and messages would take apart."""
    name = str(folder.expanduser().resolve())
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"} for character in name):
        raise ValueError(f"{name!r} holds a line break or another character that cannot be shown; name another folder")
    return folder


def _home(folder: Path) -> Path:
    if "?" in str(folder.expanduser().resolve()):
        raise ValueError(
            f"{folder} holds a question mark: DuckDB would keep the log of its database in another folder; name another one"
        )
    return folder


class Settings(BaseSettings):
    """Settings of one warehouse. Environment variables (prefix LEVERHOUSE_) override leverhouse.toml, which lies in the
    checkout, or in the user's folder of settings where the package is installed.

    Secrets (keys of optional services) are read from the environment where they are used and are never a field here,
    so that printing the settings cannot print one.
    """

    model_config = SettingsConfigDict(
        env_prefix="LEVERHOUSE_", toml_file=SETTINGS_FILE, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    home: Annotated[Path, AfterValidator(_one_line), AfterValidator(_home)] = Field(
        default_factory=default_home, description="Root folder of this warehouse; contains all of its data."
    )
    mappings: Annotated[Path, AfterValidator(_one_line)] | None = Field(
        default=None, description="Folder of mapping files; default <home>/mappings."
    )
    duckdb_memory: Annotated[str, AfterValidator(_memory)] = Field(
        default="512MB", description="memory_limit of the writing DuckDB connection."
    )
    build_memory: Annotated[str, AfterValidator(_memory)] = Field(
        default="1GB", description="memory_limit of DuckDB while dbt builds; more goes to disk."
    )
    duckdb_threads: int = Field(default=2, ge=1, description="Threads of the writing DuckDB connection.")
    limits: Limits = Field(
        default=DEFAULTS,
        description="Limits on what is read, by name (docs/limits.md): a table of leverhouse.toml, JSON in the environment.",
    )
    assets: Annotated[Names, AfterValidator(_assets)] = Field(
        default=(),
        description="Assets to fetch; empty: the universe (rule in pipelines/core/universe.py).",
    )
    venues: Names = Field(default=(), description="Venues to fetch; empty: all that need no key.")
    endpoints: Annotated[dict[str, str], AfterValidator(_base_urls)] = Field(
        default_factory=dict,
        repr=False,
        description="Base URLs by <venue>.<endpoint>, overriding the venue's own: a mirror (also file://), an emulator.",
    )
    node_blocks: int | None = Field(
        default=None,
        ge=1,
        description="Most blocks in one request for logs to a node; empty: as many as the node takes, found by halving.",
    )
    contact: Annotated[str, AfterValidator(_header_text)] = Field(
        default="", description="Contact address for venues; sent in the User-Agent if set."
    )
    kept_snapshots: int = Field(
        default=2, ge=1, description="Published snapshots that are kept, the current one included."
    )
    kept_run_days: int = Field(
        default=14, ge=2, description="Days that Dagster's runs, their events and their output are kept."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Lines that runs of the service print.")
    alert_signals: bool = Field(default=False, description="Alerts also tell of signals that turned on or off.")
    lock_timeout_seconds: float = Field(
        default=600.0, ge=0, allow_inf_nan=False, description="How long a writer waits for the writer lock."
    )

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
        """The settings of this process, whose secrets are protected from now on (core.redaction).

        Raises ConfigError naming the invalid or unknown variable, without its value, which may be a secret.
        """
        known = {f"{PREFIX}{name.upper()}" for name in cls.model_fields}
        for name in sorted(os.environ):
            if (
                name.upper().startswith(PREFIX)
                and name not in known | OTHER_VARIABLES
                and not name.startswith(BENCHMARKS)
            ):
                raise ConfigError(f"settings: there is no {name}.{nearest(name.upper(), known)}")
        try:
            settings = cls()
        except ValidationError as error:
            faults = "; ".join(_fault(fault["loc"], fault["type"], fault["msg"], known) for fault in error.errors())
        except SettingsError:
            # Its cause quotes the text, which may hold a key.
            faults = f"{PREFIX}ENDPOINTS: it is no JSON object of addresses by <venue>.<endpoint>"
        except tomllib.TOMLDecodeError as error:
            faults = f"{cls.model_config.get('toml_file')} cannot be read: it is no TOML: {error}"
        except (OSError, ValueError) as error:
            faults = f"{cls.model_config.get('toml_file')} cannot be read: {error}"
        else:
            settings.protect_secrets()
            return settings
        # Raised out here: the error of the library is no context of it.
        raise ConfigError(f"settings: {faults}. Correct the environment or leverhouse.toml.")

    def protect_secrets(self) -> None:
        """Keep out of every text what an address in these settings may hold as a key, whatever setting it is in."""
        for name in type(self).model_fields:
            for label, text in _texts(name, getattr(self, name)):
                if "://" in text:
                    redaction.protect_address(label, text)
        for name in ALERTS:
            for address in os.environ.get(name, "").split():
                redaction.protect_address(name, address)

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
    def history_dir(self) -> Path:
        """The record of what was published; see storage.vintages."""
        return self.root / "history"

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


def _texts(name: str, value: Any) -> list[tuple[str, str]]:
    """The texts in a setting, each with its name: <venue>.<endpoint> of an address, else that of the setting."""
    if isinstance(value, dict):
        return [(str(key), str(part)) for key, part in value.items()]
    if isinstance(value, tuple | list):
        return [(name, str(part)) for part in value]
    return [(name, value)] if isinstance(value, str) else []


def _fault(place: tuple[int | str, ...], kind: str, message: str, known: set[str]) -> str:
    """A fault of one setting in words. Only names of settings are shown: what else a place names may be part of a value."""
    name = f"{PREFIX}{str(place[0]).upper()}" if place else "settings"
    if place and place[0] == "limits" and len(place) > 1:
        # The names of limits are ours; what is nested in any other setting is somebody's.
        name = f"{name}_{str(place[1]).upper()}"
        known = {f"{PREFIX}LIMITS_{limit.upper()}" for limit in Limits.model_fields}
    if kind == "extra_forbidden":
        return f"there is no {name}.{nearest(name, known)}"
    return f"{name}: {message.removeprefix('Value error, ')}"
