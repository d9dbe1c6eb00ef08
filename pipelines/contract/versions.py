"""Versions that are recorded with what was made by them: of the landing's format, of names and meanings, of reading.

The version of the code itself is a digest (operations.build.code_version). Each feed has one number of its own
(extract.venue.Feed.parser_version); what all feeds are read with adds READING_VERSION to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LANDING_FORMAT: Final = 1
"""Version of what lies where below `raw/` and of what a manifest says. It is in `raw/format.json`; without that file it is 1."""

SCHEMA_VERSION: Final = "0.1"
"""Version of names, types and meanings of tables and columns, in the working database and in the published file."""

READING_VERSION: Final = 0
"""Raised by one when what all sources are read with changes rows: shared modules of pipelines/sources, the contract, cleaning,
checks of the gate, the seeds that parsers read. Every landing of every source is then read again by the next load."""


@dataclass(frozen=True)
class MadeBy:
    """What a load was made by; None where it is not known, as in a database from before these were recorded."""

    code_version: str | None = None
    schema_version: str | None = None
    parser_version: int | None = None


UNKNOWN: Final = MadeBy()
