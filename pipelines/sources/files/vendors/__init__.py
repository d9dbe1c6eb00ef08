"""Mappings of vendors' files that come with the package, one TOML file each; their first comment says what they are for."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from pipelines.core.errors import ConfigError
from pipelines.core.words import nearest

UNTRIED = "Not tried on a real file"
"""What the comment of a mapping says that was written from a vendor's published columns."""


def vendor_names() -> tuple[str, ...]:
    """The built-in mappings by name."""
    return tuple(sorted(Path(x.name).stem for x in files(__name__).iterdir() if x.name.endswith(".toml")))


def vendor_mapping(name: str) -> Path:
    """The built-in mapping of a vendor. Raises ConfigError for a name that there is none of."""
    if name not in vendor_names():
        known = ", ".join(vendor_names())
        raise ConfigError(f"no built-in mapping {name!r}; there are {known}.{nearest(name, vendor_names())}")
    with as_file(files(__name__).joinpath(f"{name}.toml")) as path:
        return Path(path)


def about(path: Path) -> str:
    """The first comment of a mapping."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)
