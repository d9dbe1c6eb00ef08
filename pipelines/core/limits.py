"""Every limit on what is read: sizes, counts and seconds, in one place. docs/limits.md is this list in words.

Whoever reads something asks `current()` for the limits in force and raises what `exceeded` makes. No reading here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from pipelines.core.errors import LimitError

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30


class Limits(BaseModel):
    """The limits of one warehouse: `limits` in the settings, each with its default. Sizes are bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer_bytes: int = Field(default=64 * MIB, gt=0, description="one answer of a venue, decompressed")
    answer_values: int = Field(
        default=3_000_000, gt=0, description="elements and fields of one JSON answer of more than 4 MiB"
    )
    answer_unpacked_bytes: int = Field(
        default=128 * MIB, gt=0, description="the file in an archive that a venue answers with"
    )
    landing_bytes: int = Field(default=8 * GIB, gt=0, description="one landed file or pack, as it lies on the disk")
    landing_rows: int = Field(
        default=50_000_000, gt=0, description="rows read from one landing, for all tables together"
    )
    landing_names: int = Field(default=300_000, gt=0, description="different names of instruments in one imported file")
    unreadable_rows: int = Field(
        default=1_000_000, gt=0, description="rows of one landing that cannot be read, sentinels not counted"
    )
    unpacked_bytes: int = Field(default=16 * GIB, gt=0, description="what one archive or compressed file unpacks to")
    unpacked_ratio: int = Field(
        default=200, gt=1, description="bytes that one compressed byte unpacks to, from 16 MiB unpacked on"
    )
    archive_members: int = Field(default=10_000, gt=0, description="members of an imported zip archive")
    pack_pages: int = Field(default=1_000_000, gt=0, description="answers in one pack")
    pack_bytes: int = Field(default=2 * GIB, gt=0, description="what all answers of one pack unpack to")
    document_bytes: int = Field(default=256 * MIB, gt=0, description="one JSON document of an imported file")
    record_bytes: int = Field(default=MIB, gt=0, description="one line, JSON record or cell of an imported file")
    columns: int = Field(default=10_000, gt=0, description="columns of an imported file, or keys of its records")
    nesting: int = Field(default=64, gt=0, description="levels of lists and objects inside each other")
    pattern_characters: int = Field(default=1_000, gt=0, description="characters of a regular expression of a mapping")
    pattern_seconds: float = Field(
        default=5.0,
        gt=0,
        description="seconds of a regular expression with look-around or back-references on one batch",
    )
    manifest_bytes: int = Field(default=64 * MIB, gt=0, description="the manifest of a landing")
    mapping_bytes: int = Field(default=MIB, gt=0, description="a mapping file")
    reader_memory: str = Field(
        default="1GB",
        pattern=r"^[0-9]+([.][0-9]+)? ?[KMGT]i?B$",
        description="DuckDB's memory_limit of every connection that does not write the warehouse",
    )


DEFAULTS: Final = Limits()

_current: ContextVar[Limits] = ContextVar("limits", default=DEFAULTS)


def current() -> Limits:
    """The limits in force: those of the enclosing `in_force`, otherwise the defaults."""
    return _current.get()


@contextmanager
def in_force(limits: Limits) -> Iterator[None]:
    """Apply `limits` to everything that is read inside the block."""
    token = _current.set(limits)
    try:
        yield
    finally:
        _current.reset(token)


def exceeded(where: str, limit: str, what: str, *, advice: str = "") -> LimitError:
    """The error for input beyond a limit: `where` names the input, `what` says what was found, `limit` is a field of Limits."""
    bound = getattr(current(), limit)
    shown = f"{bound:,}" if isinstance(bound, int | float) else str(bound)
    return LimitError(
        f"{where}: {what}; the limit {limit} is {shown}.{f' {advice}' if advice else ''} If the input is right, raise "
        f"limits.{limit} in leverhouse.toml (docs/limits.md)."
    )
