"""The one closed list of reasons for which data is missing. Python, the DDL of ops.coverage, dbt, docs and tests use it.

Which reason holds for a day is decided in extract.due (what was asked) and clean.coverage (what arrived), not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

GapReason = Literal[
    "withdrawn by the venue",
    "landing refused",
    "quarantined",
    "refused: checksum",
    "refused: status",
    "unreadable answer",
    "no answer in time",
    "fetch failed",
    "no longer available",
    "no file at the venue",
    "not in the source",
    "not heard (recorder)",
    "never asked",
    "not yet published",
    "after delisting",
    "before listing",
]

GAP_REASONS: Final[Mapping[GapReason, str]] = {
    "withdrawn by the venue": "the venue published it and has taken it back",
    "landing refused": "it was fetched, and a load refused the landing",
    "quarantined": "it was fetched, and rows of it are in quarantine",
    "refused: checksum": "the venue's file is not what its checksum says",
    "refused: status": "the venue answered with an error status",
    "unreadable answer": "the answer is not in the venue's format",
    "no answer in time": "no complete answer came",
    "fetch failed": "it was asked for, and the fetch ended without an answer",
    "no longer available": "the venue does not keep it any more",
    "no file at the venue": "the venue publishes files, and there is none for it",
    "not in the source": "the source was asked and answered without it",
    "not heard (recorder)": "the recorder did not listen, or was not connected",
    "never asked": "it was planned, and no fetch has asked for it",
    "not yet published": "the venue publishes it later",
    "after delisting": "the instrument had ended",
    "before listing": "the instrument did not exist yet",
}
"""Every reason with its meaning. Where several hold for one day, the first of this order is named."""

RANK: Final[Mapping[str, int]] = {reason: rank for rank, reason in enumerate(get_args(GapReason))}
"""Order of precedence of the reasons."""


def reasons_sql() -> str:
    """The reasons as a list of SQL literals."""
    return ", ".join(f"'{reason}'" for reason in GAP_REASONS)


def rank_sql(column: str) -> str:
    """SQL expression: the rank of the reason in `column`, null for a text that is none."""
    return f"list_position([{reasons_sql()}], {column})"
