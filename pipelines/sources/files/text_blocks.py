"""Splits a byte stream into blocks of whole lines of UTF-8 text, with bounded memory.

Shared by all line-based formats; independent of delimiters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import MIB, current, exceeded
from pipelines.sources.files.unpack import ByteStream, Member

BLOCK_BYTES: Final = 16 * MIB
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Whole lines with `ends` line ends, starting at line number `line` of the stream. Only the last block may lack a final line
    end."""

    data: bytes
    line: int
    ends: int
    is_last: bool


def text_blocks(stream: ByteStream, member: Member, *, size: int | None = None, quotes: bool = True) -> Iterator[Block]:
    """The stream in blocks of about `size` bytes (None: BLOCK_BYTES) of whole lines. With `quotes`, a quoted cell that spans
    lines is never split."""
    rest = b""
    line = 1
    while True:
        chunk = stream.read(size or BLOCK_BYTES)
        block = rest + chunk
        if not chunk:
            if block:
                _check_text(block, member, line)
                yield Block(block, line, block.count(b"\n"), is_last=True)
            return
        _check_lines(block, member, line)
        cut = _cut(block) if quotes else block.rfind(b"\n") + 1
        if cut == 0:
            if len(block) > current().record_bytes:
                raise SourceFormatError(
                    f"{member.name}, line {line}: a quoted cell does not end within {len(block)} bytes."
                    " Correct the quotes of the file."
                )
            rest = block
            continue
        whole, rest = block[:cut], block[cut:]
        _check_text(whole, member, line)
        ends = whole.count(b"\n")
        rest = rest or stream.read(1)  # the stream may end here: look ahead to mark the last block
        yield Block(whole, line, ends, is_last=not rest)
        if not rest:
            return
        line += ends


def _cut(block: bytes) -> int:
    """Position after the last line end outside quotes; 0 if there is none."""
    end = block.rfind(b"\n") + 1
    open_quote = block.count(b'"', 0, end) % 2
    while end and open_quote:
        before = block.rfind(b"\n", 0, block.rfind(b'"', 0, end)) + 1
        open_quote ^= block.count(b'"', before, end) % 2
        end = before
    return end


def _check_lines(block: bytes, member: Member, line: int) -> None:
    """Raise LimitError if a line exceeds `record_bytes`, with one search per that many bytes."""
    position, longest = 0, current().record_bytes
    while position + longest < len(block):
        end = block.rfind(b"\n", position, position + longest)
        if end < 0:
            number = line + block.count(b"\n", 0, position)
            raise exceeded(
                f"{member.name}, line {number}", "record_bytes",
                f"it is longer than {longest} bytes, beginning {block[position : position + 40]!r}",
                advice="This is not the file the mapping describes.",
            )  # fmt: skip
        position = end + 1


def _check_text(block: bytes, member: Member, line: int) -> None:
    _check_lines(block, member, line)
    position = block.find(b"\0")
    reason = "a NUL byte"
    if position < 0:
        if block.isascii():
            return
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            position, reason = error.start, f"byte 0x{block[error.start]:02x} is not UTF-8"
        else:
            return
    number = line + block.count(b"\n", 0, position)
    column = position - block.rfind(b"\n", 0, position)
    raise SourceFormatError(
        f"{member.name}, line {number}, byte {column}: {reason}, near {block[max(position - 20, 0) : position + 20]!r}."
        " Save the file as UTF-8 or obtain it again."
    )
