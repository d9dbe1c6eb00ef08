"""Splits a byte stream into blocks of whole lines of UTF-8 text, with bounded memory.

Shared by all line-based formats; independent of delimiters.
"""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import MIB, current, exceeded
from pipelines.sources.files.unpack import ByteStream, Member

BLOCK_BYTES: Final = 16 * MIB
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_LOG: Final = logging.getLogger(__name__)

# Bytes that cp1252 does not know, and control characters, which no text holds.
_NO_CP1252: Final = bytes(
    ord("?") + (byte == ord("?"))
    if byte in {0x81, 0x8D, 0x8F, 0x90, 0x9D} or (byte < 0x20 and byte not in {9, 10, 13})
    else byte
    for byte in range(256)
)


@dataclass(frozen=True)
class Block:
    """Whole lines with `ends` line ends, starting at line number `line` of the stream. Only the last block may lack a final line
    end. In a damaged one some bytes are no text, and REPLACED stands for each."""

    data: bytes
    line: int
    ends: int
    is_last: bool
    is_damaged: bool = False


REPLACED: Final = "\ufffd"
"""Stands for what is no text. The records that hold it are rejected, and no other."""


def text_blocks(
    stream: ByteStream, member: Member, *, size: int | None = None, quotes: bool = True, encoding: str | None = None
) -> Iterator[Block]:
    """The stream in blocks of about `size` bytes (None: BLOCK_BYTES) of whole lines, as UTF-8. With `quotes`, a quoted cell that
    spans lines is never split.

    Without an `encoding`, UTF-16 is told by its mark, and bytes that are no UTF-8 are read as cp1252 if nothing before them
    needed UTF-8, with a warning.
    """
    rest = stream.read(2) if encoding is None else b""
    if rest in _UTF_16:
        stream, rest = Transcoded(_Begun(rest, stream), "utf-16", member.name), b""
    elif encoding not in {None, "utf-8"}:
        stream = Transcoded(stream, encoding or "", member.name)
    text = _Text(member, guess=encoding is None)
    line = 1
    while True:
        chunk = stream.read(size or BLOCK_BYTES)
        block = rest + chunk
        if not chunk:
            if block:
                checked, is_damaged = text.checked(block, line)
                yield Block(checked, line, block.count(b"\n"), is_last=True, is_damaged=is_damaged)
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
        whole, is_damaged = text.checked(whole, line)
        ends = whole.count(b"\n")
        rest = rest or stream.read(1)  # the stream may end here: look ahead to mark the last block
        yield Block(whole, line, ends, is_last=not rest, is_damaged=is_damaged)
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


@dataclass
class _Text:
    """The text of a stream: UTF-8, or from its first byte that is none on cp1252."""

    member: Member
    guess: bool
    needs_utf_8: bool = False
    is_cp1252: bool = False

    def checked(self, block: bytes, line: int) -> tuple[bytes, bool]:
        """`block` as UTF-8, and whether something in it is no text."""
        _check_lines(block, self.member, line)
        position = block.find(b"\0")
        if position < 0:
            if block.isascii():
                return block, False
            if not self.is_cp1252:
                try:
                    block.decode("utf-8")
                except UnicodeDecodeError as error:
                    self.needs_utf_8 = self.needs_utf_8 or not block[: error.start].isascii()
                    position = error.start
                else:
                    self.needs_utf_8 = True
                    return block, False
            if self.guess and not self.needs_utf_8 and block.translate(_NO_CP1252) == block:
                if not self.is_cp1252:
                    self.is_cp1252 = True
                    number = line + block.count(b"\n", 0, max(position, 0))
                    _LOG.warning(
                        "%s, line %d: the text is not UTF-8; it is read as cp1252 (Windows). "
                        'Give encoding = "cp1252" in the mapping if that is right.',
                        self.member.name, number,
                    )  # fmt: skip
                return block.decode("cp1252").encode(), False
        text = block.decode("cp1252" if self.is_cp1252 else "utf-8", errors="replace")
        return text.replace("\0", REPLACED).encode(), True


class _Begun:
    """A stream whose first bytes were read already."""

    def __init__(self, first: bytes, inner: ByteStream) -> None:
        self._first, self._inner = first, inner

    def read(self, size: int = -1, /) -> bytes:
        first, self._first = self._first, b""
        return first or self._inner.read(size)

    def close(self) -> None:
        self._inner.close()


class Transcoded:
    """A stream of text in another encoding, as UTF-8."""

    def __init__(self, inner: ByteStream, encoding: str, name: str) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._encoding = encoding
        self._name = name
        self._held = b""
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        while not self._ended and (size < 0 or len(self._held) < size):
            chunk = self._inner.read(size)
            self._ended = not chunk
            try:
                self._held += self._decoder.decode(chunk, final=self._ended).encode()
            except (UnicodeError, ValueError) as error:
                raise SourceFormatError(
                    f"{self._name}: the text is not {self._encoding} ({error}). Correct encoding in the mapping."
                ) from error
        taken, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return taken

    def close(self) -> None:
        self._inner.close()
