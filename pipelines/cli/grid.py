"""Query results as text: as a table, in blocks of columns where it is too wide, or a record at a time.

Nothing is left out unmarked: a cell that does not fit ends in an ellipsis, a number with more digits than are shown too, and
every column is in one of the blocks. Control characters are shown as escapes, so that no value can steer the terminal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

DIGITS: Final = 12
"""Significant digits of a floating point number that are shown."""
SHORTEST_CELL: Final = 16
"""Characters to which a text is cut at most, so that a table fits."""
CUT: Final = "…"
GAP: Final = "  "

KEYS: Final = ("asset", "trade_date", "trade_month", "venue", "instrument", "signal")
"""Columns that are repeated in every block, where the result has them: what a row is about."""

CONTROL: Final = r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""Characters that steer a terminal, end a line, or turn the direction of writing."""
_CONTROL: Final = re.compile(CONTROL)


@dataclass(frozen=True)
class Column:
    """One column of a result: its cells as text, and whether they are numbers."""

    name: str
    cells: tuple[str, ...]
    is_number: bool

    @property
    def width(self) -> int:
        return max(len(self.name), *map(len, self.cells), 1)

    def cut_to(self, width: int) -> Column:
        """The column with cells of at most `width` characters, the cut ones marked."""
        return Column(_cut(self.name, width), tuple(_cut(cell, width) for cell in self.cells), self.is_number)


def table(names: Sequence[str], rows: Sequence[Sequence[Any]], *, width: int | None) -> Iterator[str]:
    """The lines of a table. With a `width` in characters, a wider result is printed in blocks that fit, each with the key
    columns; None stands for a pipe, into which everything is written whole."""
    columns = [_column(name, [row[i] for row in rows]) for i, name in enumerate(names)]
    if width is None or _width(columns) <= width:
        yield from _block(columns)
        return
    keys = [column for column in columns if column.name in KEYS]
    blocks = list(_blocks(keys, [column for column in columns if column.name not in KEYS], width))
    for number, block in enumerate(blocks):
        if len(blocks) > 1:
            yield f"{'' if number == 0 else chr(10)}-- columns: block {number + 1} of {len(blocks)}"
        yield from _block(block)


def records(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a record after the other, a column a line; nothing is cut."""
    longest = max(map(len, names))
    for number, row in enumerate(rows, start=1):
        yield f"-- row {number}"
        for name, value in zip(names, row, strict=True):
            yield f"{printable(name):<{longest}}{GAP}{cell(value)}".rstrip()


def cell(value: Any) -> str:
    """A value as text. Numbers are written out, without an exponent, to DIGITS significant digits."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds" if not value.microsecond else "microseconds")
    return printable(str(value))


def printable(text: str, *, keep: str = "") -> str:
    """`text` with control characters, and those that turn the direction of writing, as escapes; those in `keep` stay."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


_FORMULA: Final = re.compile(r"[\t\r\n]|[\s\x00\"]*[=+\-@\uff1d\uff0b\uff0d\uff20]")


def spreadsheet_safe(value: Any) -> Any:
    """A text that a spreadsheet would run as a formula, with an apostrophe before it; any other value as it is.

    Also where spaces, line ends, zero bytes or a quote stand before the sign, and for its full-width forms.
    """
    if isinstance(value, str) and _FORMULA.match(value):
        return f"'{value}"
    return value


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    exact = Decimal(repr(value))
    shown = Decimal(f"{value:.{DIGITS - 1}e}")
    text = format(shown.normalize(), "f")
    return text if shown == exact else f"{text}{CUT}"


def _column(name: str, values: Sequence[Any]) -> Column:
    is_number = all(value is None or isinstance(value, int | float | Decimal) for value in values)
    return Column(printable(name), tuple(cell(value) for value in values), is_number)


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * max(0, len(columns) - 1)


def _blocks(keys: Sequence[Column], others: Sequence[Column], width: int) -> Iterator[list[Column]]:
    keys = [key.cut_to(max(SHORTEST_CELL, width // 4)) for key in keys]
    room = max(SHORTEST_CELL, width - _width(keys) - len(GAP))
    block: list[Column] = []
    for column in (other.cut_to(room) for other in others):
        if block and _width([*block, column]) > room:
            yield [*keys, *block]
            block = []
        block.append(column)
    yield [*keys, *block]


def _block(columns: Sequence[Column]) -> Iterator[str]:
    yield _line([(column, column.name) for column in columns])
    for number in range(len(columns[0].cells)):
        yield _line([(column, column.cells[number]) for column in columns])


def _line(parts: Sequence[tuple[Column, str]]) -> str:
    return GAP.join(f"{text:>{c.width}}" if c.is_number else f"{text:<{c.width}}" for c, text in parts).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}{CUT}"
