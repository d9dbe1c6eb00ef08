"""The instant from which a home wants all of a feed, frozen when the feed is first fetched on schedule.

    raw/_plan/<source>.json         {"since": "2026-11-29T00:00:00"}

It lies with the landing, so that a rebuild expects the same days. Which days follow from it is in due.py.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import orjson

from pipelines.core.errors import LandingError
from pipelines.core.files import write_atomically

FOLDER: Final = "_plan"


def planned_since(raw_dir: Path, source: str) -> datetime | None:
    """The first instant of the plan of `source`; None if it was never fetched on schedule. Raises LandingError."""
    path = _path(raw_dir, source)
    try:
        return datetime.fromisoformat(orjson.loads(path.read_bytes())["since"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LandingError(f"{path} cannot be read ({error}); restore it, or remove it to begin a new plan.") from error


def freeze_plan(raw_dir: Path, source: str, since: datetime) -> datetime:
    """Begin the plan of `source` at `since` unless it has begun; returns its first instant."""
    known = planned_since(raw_dir, source)
    if known is not None:
        return known
    path = _path(raw_dir, source)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, orjson.dumps({"since": since.isoformat()}))
    return since


def planned_sources(raw_dir: Path) -> list[str]:
    """Every source with a plan."""
    return sorted(path.stem for path in (raw_dir / FOLDER).glob("*.json"))


def _path(raw_dir: Path, source: str) -> Path:
    return raw_dir / FOLDER / f"{source}.json"
