"""CSV to records, every cell as text: a fast path for uniform blocks, and a row-by-row path that locates faulty lines."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.mapping import File
from pipelines.sources.files.patterns import LONGEST_TEXT
from pipelines.sources.files.records import (
    LINE,
    SKIPPED,
    TRUNCATED,
    Columns,
    Records,
    broken_lines,
    in_batches,
    no_broken,
    without_damaged,
)  # fmt: skip
from pipelines.sources.files.text_blocks import BYTE_ORDER_MARK, text_blocks
from pipelines.sources.files.unpack import ByteStream, Member

if TYPE_CHECKING:
    from _csv import Reader


def read_csv(
    stream: ByteStream, member: Member, file: File, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    head = _Head(member, file, columns)
    line = first_line
    for block in text_blocks(stream, member, encoding=file.encoding):
        body, ends = block.data, block.ends
        if not head.found:
            body, taken = head.take(body, line)
            line, ends = line + taken, max(ends - taken, 0)
        if block.is_last and body.endswith((b"\n\n", b"\n\r\n")):
            body = body.rstrip(b"\r\n")
            ends = body.count(b"\n")
        if not body or not head.found:
            continue
        lines = ends + (not body.endswith(b"\n"))
        numbers: Sequence[int] | None = None
        if head.leaves_out:
            body, numbers = head.left(body, line)
        whole = _by_column(body, head.names, file.delimiter, line, lines, numbers) if body else None
        parts: Iterable[Records] = (
            _by_cell(body, head.names, file.delimiter, member, line, numbers, is_last=block.is_last)
            if whole is None
            else in_batches(whole)
        )
        line += lines
        for part in parts:
            yield head.finished(without_damaged(part) if block.is_damaged else part), line
    head.demand(line)
    if ignored := head.counted():
        yield (
            Records(
                pl.DataFrame(schema={**dict.fromkeys(head.names, pl.String()), LINE: pl.Int64()}), no_broken(), ignored
            ),
            line,
        )


@dataclass
class _Head:
    """The beginning of a CSV file: lines before the header, the header, and which lines are ignored."""

    member: Member
    file: File
    columns: Columns
    names: list[str] = field(default_factory=list)
    found: bool = False
    trimmed: bool = False
    before: list[bytes] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    @property
    def leaves_out(self) -> bool:
        return self.file.comment is not None or self.file.skip_line is not None

    def take(self, body: bytes, line: int) -> tuple[bytes, int]:
        """What follows the header in `body`, and how many lines were taken. Searching goes on in the next block."""
        taken = 0
        while body and not self.found:
            head, _, rest = body.partition(b"\n")
            text = head.removeprefix(BYTE_ORDER_MARK).decode("utf-8").rstrip("\r")
            is_data = self.file.header == "none" or (
                self.file.header == "auto" and _is_number(text.partition(self.file.delimiter)[0])
            )
            if is_data and self.ignored[BEFORE] >= self.file.skip_lines and not self._is_left_out(text):
                self._settle(list(self.file.names), line + taken)
                return body.removeprefix(BYTE_ORDER_MARK), taken
            taken, body = taken + 1, rest
            if self.ignored[BEFORE] < self.file.skip_lines:
                self.ignored[BEFORE] += 1
            elif not self._is_left_out(text, count=True):
                self._try(head, text, line + taken - 1)
        return body, taken

    def _try(self, head: bytes, text: str, line: int) -> None:
        cells = next(csv.reader([text], delimiter=self.file.delimiter), [])
        if self.file.header == "find":
            names = self.columns.renamed([cell.strip() for cell in cells])
            if not self.columns.used <= set(names):
                self.before.append(head)
                self.ignored[BEFORE] += 1
                if len(self.before) > HEADER_LINES:
                    self.demand(line)
                return
        self._settle(cells, line, text)

    def _settle(self, cells: list[str], line: int, text: str = "") -> None:
        names = [cell.strip() for cell in cells]
        self.trimmed = names != cells
        self.names = self.columns.renamed(names)
        hint = ""
        if len(cells) == 1:
            others = {
                name: text.count(mark)
                for mark, name in _DELIMITERS.items()
                if mark != self.file.delimiter and mark in text
            }
            if others:
                likely = max(others, key=lambda name: others[name])
                hint = (
                    f" (the header has no {_DELIMITERS.get(self.file.delimiter, repr(self.file.delimiter))} but {likely}s:"
                    " wrong delimiter?)"
                )
            elif text.startswith(("#", "//", ";")):
                hint = f' (the line is a comment? give comment = "{text[0]}")'
            else:
                hint = ' (a line before the header? give header = "find")'
        elif cells and _is_number(cells[0].replace("-", "").replace(":", "").replace(" ", "")):
            hint = ' (no header? give header = "none" and names)'
        self.columns.check(self.names, place=f"{self.member.name}, line {line}", hint=hint)
        self.found = True

    def demand(self, line: int) -> None:
        """Raise SourceFormatError if there is no header yet."""
        if self.found:
            return
        if not self.before and not self.ignored:
            raise SourceFormatError(f"{self.member.name}: the file is empty, not even a header. Obtain it again.")
        cells = (
            next(csv.reader([self.before[0].decode("utf-8")], delimiter=self.file.delimiter), []) if self.before else []
        )
        self.columns.check(
            self.columns.renamed([x.strip() for x in cells]), place=f"{self.member.name}, line 1 to {line}"
        )
        raise SourceFormatError(f"{self.member.name}: no header in lines 1 to {line}. Correct the mapping or the file.")

    def _is_left_out(self, text: str, *, count: bool = False) -> bool:
        rule = None
        if self.file.comment is not None and text.startswith(self.file.comment):
            rule = COMMENT
        elif self.file.skip_line is not None and re.fullmatch(self.file.skip_line, text[:LONGEST_TEXT]):
            rule = SKIPPED
        if rule is not None and count:
            self.ignored[rule] += 1
        return rule is not None

    def left(self, body: bytes, line: int) -> tuple[bytes, list[int]]:
        """The lines of `body` that are no comments and not skipped, and their numbers."""
        kept, numbers = [], []
        lines = body.split(b"\n")
        for number, text in enumerate(lines[:-1] if not lines[-1] else lines, start=line):
            if not self._is_left_out(text.decode("utf-8").rstrip("\r"), count=True):
                kept.append(text)
                numbers.append(number)
        return b"\n".join(kept) + (b"\n" if body.endswith(b"\n") and kept else b""), numbers

    def finished(self, part: Records) -> Records:
        """`part` without the spaces around its cells, if the header has such, and with what was ignored since the last part."""
        frame = part.frame
        if self.trimmed and frame.height:
            frame = frame.with_columns(pl.col(pl.String).str.strip_chars())
        return Records(frame, part.broken, self.counted())

    def counted(self) -> dict[str, int]:
        """What was ignored since this was asked last."""
        counted = {rule: number for rule, number in self.ignored.items() if number}
        if self.found:
            self.ignored.clear()
        return counted


BEFORE: Final = "lines before the header"
COMMENT: Final = "comments"
"""What ignored lines count as."""

HEADER_LINES: Final = 50
"""Lines that a header is looked for in."""

PART_CELLS: Final = 1_000_000

_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def _by_column(
    block: bytes, header: list[str], delimiter: str, line: int, lines: int, given: Sequence[int] | None
) -> Records | None:
    """The records of `lines` whole lines, or None if the block needs row-by-row parsing: quotes, blank lines, or rows with too
    few or too many cells."""
    lines = lines if given is None else len(given)
    if b'"' in block or block.count(delimiter.encode()) != lines * (len(header) - 1):
        return None
    try:
        frame = pl.read_csv(
            block,
            has_header=False,
            separator=delimiter,
            quote_char=None,
            infer_schema=False,
            empty_string_is_null=False,
            schema=dict.fromkeys(header, pl.String()),
        )
    except (
        pl.exceptions.ComputeError,
        pl.exceptions.SchemaError,
    ):  # a long row and a short one cancel out in the count
        return None
    if frame.height != lines or (len(header) == 1 and b"\n\n" in block):
        return None
    numbers = (
        pl.int_range(line, line + lines, dtype=pl.Int64, eager=True).alias(LINE)
        if given is None
        else pl.Series(LINE, given, dtype=pl.Int64)
    )
    return Records(frame.with_columns(numbers), no_broken())


def _by_cell(
    block: bytes,
    header: list[str],
    delimiter: str,
    member: Member,
    line: int,
    given: Sequence[int] | None,
    *,
    is_last: bool,
) -> Iterator[Records]:
    """The records of a block row by row, in parts of about PART_CELLS cells: as Python's objects they take ten times their text."""
    reader = _reader(block, delimiter)
    texts: list[bytes] = []
    whole: list[list[str]] = []
    lines: list[int] = []
    broken: list[tuple[int, str, str]] = []
    last_short: tuple[int, str, str] | None = None
    done = begin = cells = 0

    def number(position: int) -> int:
        if given is None:
            return line + position
        return given[position] if position < len(given) else (given[-1] if given else line)

    while True:
        begins = number(done)
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            texts = texts or block.split(b"\n")
            ends, why = begin + reader.line_num, str(error)
            if "unexpected end of data" in why:
                # The quote has swallowed the rest of the file: its line alone is at fault, and those behind it are read again.
                ends, why = done + 1, "a quoted cell does not end"
                begin, reader = ends, _reader(b"\n".join(texts[ends:]), delimiter)
            raw = b"\n".join(texts[done:ends]).decode("utf-8", errors="replace")
            broken.append((begins, f"not CSV: {why}", orjson.dumps(raw[:RAW_LENGTH]).decode()))
            done = ends
            continue
        if len(row) == len(header):
            whole.append(row)
            lines.append(begins)
            last_short = None
        elif row:
            detail = f"{len(row)} cells where the header has {len(header)}"
            broken.append((begins, detail, orjson.dumps(row).decode()))
            cells += BROKEN_CELLS
            last_short = broken[-1] if len(row) < len(header) else None
        done = begin + reader.line_num
        cells += len(row) or 1
        if cells >= PART_CELLS:
            yield _part(whole, lines, header, broken)
            whole, lines, broken, cells = [], [], [], 0
    if is_last and last_short is not None:
        short, detail, raw = last_short
        broken[-1] = (short, f"{detail}{TRUNCATED}", raw)
    yield _part(whole, lines, header, broken)


def _reader(block: bytes, delimiter: str) -> Reader:
    return csv.reader(io.StringIO(block.decode("utf-8"), newline="\n"), delimiter=delimiter, strict=True)


BROKEN_CELLS: Final = 8
"""Cells that a broken line counts for, beside its own: its description takes their memory."""

RAW_LENGTH: Final = 2_000
"""Characters that are kept of a line that is not CSV."""


def _is_number(text: str) -> bool:
    try:
        float(text.strip().strip('"'))
    except ValueError:
        return False
    return True


def _part(whole: list[list[str]], lines: list[int], header: list[str], broken: list[tuple[int, str, str]]) -> Records:
    frame = pl.DataFrame(whole, schema=dict.fromkeys(header, pl.String()), orient="row").with_columns(
        pl.Series(LINE, lines, dtype=pl.Int64)
    )
    return Records(frame, broken_lines(broken))
