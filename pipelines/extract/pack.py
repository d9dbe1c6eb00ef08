"""The file in which one fetch is landed: a plain ZIP whose members are the answers as received, and an index of them.

Any ZIP tool opens it; archives of a venue lie in it as they came, text is deflated. What the answers mean is the
business of pipelines/sources.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from pipelines.core.errors import LandingError
from pipelines.extract.venue import Page

INDEX: Final = "index.jsonl"
# Fixed, so that equal answers make equal members whenever they are written.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
# Two thirds of the time of level 3 and 2% more bytes: 0.17 ms for a page of 63 kB.
_LEVEL: Final = 1
_COMPRESSED: Final = (b"PK\x03\x04", b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


@dataclass
class PackWriter:
    """Collects the pages of a fetch, in any order, and writes their index in the order of subject and arrival.

    `volatile` is what a venue writes into every answer and means nothing by, its clock for example: left out when answers
    are compared, kept in what is stored.
    """

    sink: BinaryIO
    ignored_in_digest: re.Pattern[bytes] | None = None
    _zip: zipfile.ZipFile = field(init=False)
    _entries: list[dict[str, Any]] = field(default_factory=list)
    _meanings: dict[str, str] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._zip = zipfile.ZipFile(self.sink, "w", allowZip64=True)

    def add(self, page: Page) -> None:
        """Write a page's body at once: a month of pages does not fit into memory."""
        number = self._counts.get(page.subject, 0)
        self._counts[page.subject] = number + 1
        name = f"{len(self._entries):06d}"
        self._write(name, page.body, stored=page.body.startswith(_COMPRESSED))
        digest = hashlib.sha256(page.body).hexdigest()
        meaning = self.ignored_in_digest.sub(b"", page.body) if self.ignored_in_digest else page.body
        self._meanings[name] = digest if meaning is page.body else hashlib.sha256(meaning).hexdigest()
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
        """Write the index and return the digest of what was answered: the same for equal answers, whenever they came."""
        self._entries.sort(key=lambda entry: (entry["subject"], entry["number"]))
        lines = b"".join(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS) + b"\n" for entry in self._entries)
        self._write(INDEX, lines)
        self._zip.close()
        answers = [
            (e["subject"], e["number"], e["request"], e["status"], self._meanings[e["member"]]) for e in self._entries
        ]
        return hashlib.sha256(orjson.dumps(answers, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def _write(self, name: str, content: bytes, *, stored: bool = False) -> None:
        member = zipfile.ZipInfo(name, _EPOCH)
        self._zip.writestr(member, content, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED, _LEVEL)

    def abandon(self) -> None:
        """Let go of the sink. A ZipFile that is only forgotten writes into it later, when it may be closed already."""
        self._zip.close()


@dataclass(frozen=True)
class Pack:
    """A landed fetch, open for reading."""

    path: Path

    def pages(self, subjects: Iterable[str] | None = None) -> Iterator[Page]:
        """The pages in the order of subject and arrival, whatever order they came in.

        Raises LandingError where the file is not a pack or a member is not as received.
        """
        wanted = None if subjects is None else set(subjects)
        try:
            with zipfile.ZipFile(self.path) as archive:
                for line in archive.read(INDEX).splitlines():
                    entry: Mapping[str, Any] = orjson.loads(line)
                    if wanted is None or entry["subject"] in wanted:
                        # The member's own checksum is verified by reading it; the file's digest by LandingStore.verify.
                        yield Page(
                            subject=entry["subject"],
                            request=entry["request"],
                            status=entry["status"],
                            received_at=datetime.fromisoformat(entry["received_at"]),
                            body=archive.read(entry["member"]),
                        )
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise LandingError(
                f"landing {self.path.name} is not as it was written ({type(error).__name__}: {error}); "
                "restore it, or remove it with its manifest and fetch again."
            ) from error
