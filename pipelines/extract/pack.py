"""The file format of a landed fetch: a ZIP with the responses as received and an index of them.

Any ZIP tool opens it. A venue's compressed files are stored as they are, text is deflated. pipelines/sources parses the
responses.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from pipelines.core.archives import check_members
from pipelines.core.errors import LandingError
from pipelines.core.limits import current, exceeded
from pipelines.extract.venue import Page

INDEX: Final = "index.jsonl"
# Fixed, so that equal responses give equal members whenever they are written.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
# Two thirds of the time of level 3 and 2% more bytes: 0.17 ms for a page of 63 kB.
_LEVEL: Final = 1
_DAMAGE: Final = (
    OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError, TypeError, ValueError,
)  # fmt: skip
_COMPRESSED: Final = (b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


@dataclass
class PackWriter:
    """Writes the pages of a fetch, in any order, and an index of them ordered by subject and arrival.

    `ignored_in_digest` matches irrelevant content that differs in every response, such as the venue's clock: it is left
    out when responses are compared, and stored.
    """

    sink: BinaryIO
    ignored_in_digest: re.Pattern[bytes] | None = None
    _zip: zipfile.ZipFile = field(init=False)
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _compared_digests: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._zip = zipfile.ZipFile(self.sink, "w", allowZip64=True)

    def add(self, page: Page) -> None:
        """Write a page's body immediately: a month of pages does not fit into memory."""
        number = self._counts.get(page.subject, 0)
        self._counts[page.subject] = number + 1
        name = f"{len(self._entries):06d}"
        self._write(name, page.body, stored=page.body.startswith(_COMPRESSED))
        digest = hashlib.sha256(page.body).hexdigest()
        compared = self.ignored_in_digest.sub(b"", page.body) if self.ignored_in_digest else page.body
        self._compared_digests[name] = digest if compared is page.body else hashlib.sha256(compared).hexdigest()
        self._entries.append(
            {
                "subject": page.subject,
                "number": number,
                "member": name,
                "request": page.request,
                "status": page.status,
                "received_at": page.received_at.isoformat(),
                "sha256": digest,
            }
        )

    def close(self) -> str:
        """Write the index and return the content digest: equal for equal responses, whenever they were received."""
        self._entries.sort(key=lambda entry: (entry["subject"], entry["number"]))
        lines = b"".join(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS) + b"\n" for entry in self._entries)
        self._write(INDEX, lines)
        self._zip.close()
        responses = [
            (e["subject"], e["number"], e["request"], e["status"], self._compared_digests[e["member"]])
            for e in self._entries
        ]
        return hashlib.sha256(orjson.dumps(responses, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def _write(self, name: str, content: bytes, *, stored: bool = False) -> None:
        member = zipfile.ZipInfo(name, _EPOCH)
        self._zip.writestr(member, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED, _LEVEL)

    def abandon(self) -> None:
        """Close the ZipFile: one that is only garbage collected writes into the sink later, which may then be closed."""
        self._zip.close()


@dataclass(frozen=True)
class Pack:
    """Reader of a landed fetch."""

    path: Path

    def pages(self, subjects: Iterable[str] | None = None) -> Iterator[Page]:
        """The pages ordered by subject and arrival.

        Raises LandingError if the file is not a pack or a member is damaged, LimitError for one that is too large.
        """
        wanted = None if subjects is None else set(subjects)
        most = current().answer_bytes
        name = f"landing {self.path.name}"
        try:
            with zipfile.ZipFile(self.path) as archive:
                check_members(archive, archive.infolist(), name=name, members="pack_pages", unpacked="pack_bytes")
                with archive.open(INDEX) as index:
                    while line := index.readline(current().manifest_bytes):
                        entry: Mapping[str, Any] = orjson.loads(line)
                        if wanted is not None and entry["subject"] not in wanted:
                            continue
                        size = archive.getinfo(entry["member"]).file_size
                        if size > most:
                            raise exceeded(name, "answer_bytes", f"an answer for {entry['subject']} has {size:,} bytes")
                        # Reading verifies the member's checksum; LandingStore.verify checks the digest of the file.
                        yield Page(
                            subject=entry["subject"],
                            request=entry["request"],
                            status=entry["status"],
                            received_at=datetime.fromisoformat(entry["received_at"]),
                            body=archive.read(entry["member"]),
                        )
        except _DAMAGE as error:
            raise LandingError(
                f"landing {self.path.name} is damaged ({type(error).__name__}: {error}); "
                "restore it, or remove it with its manifest and fetch again."
            ) from error
