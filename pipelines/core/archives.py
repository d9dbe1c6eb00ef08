"""Zip archives from elsewhere: what their directory may claim, checked before a member is opened."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import Final

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import current, exceeded

_LOCAL_HEADER: Final = 30
"""Bytes of a member's local header at least: its name comes on top."""


def check_members(
    archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], *, name: str, members: str, unpacked: str
) -> None:
    """Refuse an archive with too many members, members that share bytes, or too much to unpack by its own account.

    `members` and `unpacked` are the limits that apply. No member unpacks to more than it declares: zipfile stops there. Two
    members that lie in the same bytes are a bomb: every listing of them unpacks the whole again.
    """
    limits = current()
    if len(entries) > getattr(limits, members):
        raise exceeded(name, members, f"it has {len(entries):,} members")
    total = sum(entry.file_size for entry in entries)
    if total > getattr(limits, unpacked):
        raise exceeded(name, unpacked, f"it unpacks to {total:,} bytes", advice="Split it.")
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end or entry.header_offset + _LOCAL_HEADER > archive.start_dir:
            raise SourceFormatError(
                f"{name}: member {entry.filename!r} lies in the bytes of another one, as in a decompression bomb; the archive is "
                "refused. Its origin is not trustworthy."
            )
        end = entry.header_offset + _LOCAL_HEADER + entry.compress_size
