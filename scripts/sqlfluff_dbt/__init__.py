"""dbt's Jinja context as far as sqlfluff's emulation lacks it: project vars, dispatch, config.

For linting only: sqlfluff finds these names through library_path in pyproject.toml. No other code imports them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import yaml

PROJECT_FILE = Path(__file__).resolve().parents[2] / "dbt_project" / "dbt_project.yml"
_VARS: dict[str, Any] = yaml.safe_load(PROJECT_FILE.read_text())["vars"]


def var(name: str, default: object = None) -> object:
    return _VARS.get(name, default)


class Adapter:
    @jinja2.pass_context
    def dispatch(self, context: jinja2.runtime.Context, name: str, package: str) -> Callable[..., object]:
        """The macro's DuckDB implementation, else its default."""
        for prefix in ("duckdb__", "default__"):
            macro = context.resolve(prefix + name)
            if not isinstance(macro, jinja2.Undefined):
                return macro  # type: ignore[no-any-return]
        raise LookupError(f"dispatch of {package}.{name}: no macro duckdb__{name} or default__{name}")


class Exceptions:
    def raise_compiler_error(self, message: str) -> None:
        raise ValueError(message)


class Config:
    """A model's config(): stores nothing and returns placeholders."""

    def __call__(self, *_: object, **__: object) -> str:
        return ""

    def get(self, name: str, default: object = None) -> object:
        return default

    def require(self, name: str) -> dict[str, list[str]]:
        return {"clean_tables": [name]}


adapter = Adapter()
exceptions = Exceptions()
config = Config()
target = {"type": "duckdb", "schema": "marts", "name": "duckdb"}
