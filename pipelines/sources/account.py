"""The account of a parse: what became of every record of the pages, by page.

A record becomes a row, a reject, one that lies outside the span, or one that a named rule leaves out. Readers open the account
(records.py, the archive's and the chain's reader), reading.py closes it. Outside of an account everything here does nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.core.errors import ContractError
from pipelines.extract.venue import Page

LINE: Final = "_line"

RULES: Final[Mapping[str, str]] = {
    "other_kind": "a list of the venue mixes kinds of records, and this is of one that the feed does not read",
    "not_followed": "it is of a market, quote or exchange that is not followed",
    "looked_up": "it only says how other records of the answer are read",
    "no_value": "the venue states no value for it",
    "not_forced": "an ordinary trade, and no liquidation",
    "counted_before": "it repeats what another record of the answer says",
    "part_of_row": "the row of another record has its values, as an hour has those of its seconds",
    "delisted": "the venue lists it as no longer traded",
}
"""Rules by which a parser leaves a record out, and what each means."""

_FAR, _OUTSIDE, _UNPARSABLE, _REJECTED, _STRAY, _ACCEPTED = 240, 241, 249, 250, 251, 252
"""By worth: a record of which one table has a row and another a reject is accepted."""

_RULE_CODES: Final = {rule: code for code, rule in enumerate(RULES, start=1)}


@dataclass(frozen=True)
class Counts:
    """Records by what became of them. `far` is the part of `outside`, and `stray` of `accepted`, that is nowhere near the span;
    `unparsable` is the part of `rejected` with a cell that cannot be read."""

    received: int = 0
    accepted: int = 0
    stray: int = 0
    rejected: int = 0
    unparsable: int = 0
    outside: int = 0
    far: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_doubtful(self) -> bool:
        """Whether some records look misread, and none is right."""
        return self.far + self.stray + self.unparsable > 0 and self.accepted == self.stray

    @property
    def unnamed(self) -> int:
        """Records that vanished: no row, no reject, and no rule names them."""
        return self.received - self.accepted - self.rejected - self.outside - sum(self.ignored.values())


@dataclass
class Account:
    """States of the records, numbered from 1 over all pages in the order in which they are read."""

    pages: list[tuple[Page, int]] = field(default_factory=list)
    received: int = 0
    _marked: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    @contextmanager
    def open(self) -> Iterator[None]:
        """Inside the block, readers note what they read here."""
        token = _OPEN.set(self)
        try:
            yield
        finally:
            _OPEN.reset(token)

    def add(self, page: Page, count: int) -> int:
        """Count the records of a page; return how many came before."""
        before = self.received
        # Without its bytes, which would stay in memory.
        self.pages.append((replace(page, body=b""), count))
        self.received += count
        return before

    @property
    def _states(self) -> npt.NDArray[np.uint8]:
        if len(self._marked) < self.received:
            grown = np.zeros(self.received, np.uint8)
            grown[: len(self._marked)] = self._marked
            self._marked = grown
        return self._marked

    def mark(self, lines: pl.Series, code: int) -> None:
        """Note what became of records; what a record is worth most as stands."""
        if self.pages and lines.len():
            at, states = lines.drop_nulls().to_numpy() - 1, self._states
            # A parser may add rows of its own, numbered after the last record.
            at = at[at < len(states)]
            states[at] = np.maximum(states[at], np.uint8(code))

    def take(self, rows: pl.DataFrame, strays: pl.DataFrame, rejects: pl.DataFrame | None) -> None:
        """Note what a parser made of the records: rows near the span, rows that are not, and rejects."""
        self.mark(rows.get_column(LINE), _ACCEPTED)
        self.mark(strays.get_column(LINE), _STRAY)
        if rejects is not None and rejects.height:
            unparsable = rejects.get_column("reason") == "unparsable"
            self.mark(rejects.get_column("line").filter(~unparsable), _REJECTED)
            self.mark(rejects.get_column("line").filter(unparsable), _UNPARSABLE)

    def by_page(self) -> Iterator[tuple[Page, Counts]]:
        """What became of the records of each page."""
        start, states = 0, self._states
        for page, count in self.pages:
            yield page, _counted(states[start : start + count])
            start += count

    def by_subject(self) -> dict[str, Counts]:
        """What became of the records of each subject."""
        parts: dict[str, list[npt.NDArray[np.uint8]]] = {}
        start, states = 0, self._states
        for page, count in self.pages:
            parts.setdefault(page.subject, []).append(states[start : start + count])
            start += count
        return {subject: _counted(np.concatenate(states)) for subject, states in parts.items()}

    def total(self) -> Counts:
        """What became of all records."""
        return _counted(self._states)

    def raise_if_unnamed(self) -> None:
        """Raise ContractError, naming the page, if a record vanished."""
        if np.all(self._states):
            return
        for page, counts in self.by_page():
            if counts.unnamed:
                raise ContractError(
                    f"{page.where}: {counts.unnamed} of {counts.received} records became neither a row nor a reject, and no rule "
                    "leaves them out; correct the module in pipelines/sources."
                )


_OPEN: Final[ContextVar[Account | None]] = ContextVar("account", default=None)


def count_page(page: Page, count: int) -> int | None:
    """Count the records of a page; return how many came before, or None outside of an account."""
    account = _OPEN.get()
    return None if account is None else account.add(page, count)


def leave_out(frame: pl.DataFrame, rule: str) -> None:
    """Note that the records of `frame` are left out by `rule`, a key of RULES."""
    leave_out_lines(frame.get_column(LINE), rule)


def leave_out_lines(lines: pl.Series, rule: str) -> None:
    """The same, by the numbers of the records."""
    code = _RULE_CODES[rule]
    account = _OPEN.get()
    if account is not None:
        account.mark(lines, code)


def note_outside(near: pl.DataFrame, far: pl.DataFrame) -> None:
    """Note records outside the span: a period or two beside it, and nowhere near."""
    account = _OPEN.get()
    if account is not None:
        account.mark(near.get_column(LINE), _OUTSIDE)
        account.mark(far.get_column(LINE), _FAR)


def _counted(states: npt.NDArray[np.uint8]) -> Counts:
    found: dict[int, int] = {}
    if states.size:
        values: Any = np.bincount(states, minlength=256)
        found = {int(code): int(values[code]) for code in np.flatnonzero(values)}
    far, stray, unparsable = found.get(_FAR, 0), found.get(_STRAY, 0), found.get(_UNPARSABLE, 0)
    return Counts(
        received=int(states.size),
        accepted=stray + found.get(_ACCEPTED, 0),
        stray=stray,
        rejected=unparsable + found.get(_REJECTED, 0),
        unparsable=unparsable,
        outside=far + found.get(_OUTSIDE, 0),
        far=far,
        ignored={rule: found[code] for rule, code in _RULE_CODES.items() if code in found},
    )
