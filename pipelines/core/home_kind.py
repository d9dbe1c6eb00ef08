"""Whether a home belongs to the real market or to a simulated one. It is written down once, and the two never mix.

    home.json    {"kind": "real"} or {"kind": "simulated"}

What is landed in a simulated home says so in its manifest. A simulated home asks no venue but emulators on this machine, and no
home loads what was landed in one of the other kind.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pipelines.core.errors import ConfigError
from pipelines.core.files import write_atomically

Kind = Literal["real", "simulated"]

MARKER: Final = "home.json"
DEMO_MARKER: Final = "demo.json"
"""Of the demo, which keeps the parameters of its market there; also says which kind a home of an older version is."""
SIMULATED: Final = "simulated"
"""Key in the request of a landing that was made in a simulated home."""


def home_kind(root: Path) -> Kind:
    """The kind of a home; one that nobody marked is real. Raises ConfigError if the marker cannot be read."""
    try:
        kind = json.loads((root / MARKER).read_bytes())["kind"]
    except FileNotFoundError:
        return "simulated" if _is_old_demo(root) else "real"
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f'{root / MARKER} cannot be read ({error}); it holds {{"kind": "real"}} or "simulated".'
        ) from error
    if kind not in ("real", "simulated"):
        raise ConfigError(f"{root / MARKER}: {kind!r} is no kind of home; it is real or simulated.")
    return "real" if kind == "real" else "simulated"


def is_simulated(root: Path) -> bool:
    return home_kind(root) == "simulated"


def is_marked(root: Path) -> bool:
    """Whether the kind of a home was ever written down."""
    return (root / MARKER).exists()


def mark_home(root: Path, kind: Kind) -> None:
    """Write down the kind of a home. Raises ConfigError if it is marked as the other kind."""
    if is_marked(root):
        if home_kind(root) != kind:
            raise ConfigError(f"{root} is a {home_kind(root)} home and cannot become a {kind} one; use another home.")
        return
    write_atomically(root / MARKER, json.dumps({"kind": kind}).encode() + b"\n")


def origin_of_landing(request: Mapping[str, Any]) -> Kind:
    """The kind of the home in which a landing was made, by its request."""
    return "simulated" if request.get(SIMULATED) is True else "real"


def check_endpoints_are_emulated(root: Path, venue: str, endpoints: Mapping[str, str]) -> None:
    """Raise ConfigError if a simulated home is about to ask a venue on another machine."""
    if not is_simulated(root):
        return
    real = [f"{name}: {base}" for name, base in endpoints.items() if not _is_local(base)]
    if real:
        raise ConfigError(
            f"{root} is the home of a simulated market and asks no real venue ({venue}.{', '.join(real)}). "
            "Use another LEVERHOUSE_HOME for real data; 'leverhouse demo' fetches by itself."
        )


def _is_local(base: str) -> bool:
    parts = urlsplit(base)
    if parts.scheme == "file" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _is_old_demo(root: Path) -> bool:
    try:
        return json.loads((root / DEMO_MARKER).read_bytes()).get(SIMULATED) is True
    except (FileNotFoundError, ValueError):
        return False
