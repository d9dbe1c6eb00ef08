"""A local folder in place of a venue's file host: files by path, and bucket listings of folders.

No HTTP; the client uses it for file:// base URLs. What cannot be read is a typed error of that request, and a folder that is
not there, such as a disk that is not mounted, is no venue without files.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape

from pipelines.core.errors import RequestRefusedError, VenueUnavailableError
from pipelines.core.limits import current, exceeded

OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that are about this process and not about the mirror."""

MOST_KEYS: Final = 1000
"""Files in a page of a listing, as a bucket's."""


def answer(base: str, request: Mapping[str, Any], *, where: str) -> tuple[int, bytes]:
    """Status and body of `request` from the folder of the file:// URL `base`; 404 for a missing file. `where` is for messages.

    A request with the parameter `prefix` (a folder, or one and the start of a name) returns one page of an S3 ListObjects
    listing: with `delimiter`, the folders directly below the prefix; without it, the files after `marker`, at most `max-keys`.
    Raises VenueUnavailableError if the folder is not there or a file cannot be read, and LimitError for a file of more than
    `answer_bytes`.
    """
    try:
        root = Path(unquote(urlsplit(base).path)).resolve()
        if not root.is_dir():
            raise VenueUnavailableError(f"{where}: there is no folder {root}; is the disk of the mirror mounted?")
        params = request.get("params") or {}
        if "prefix" in params:
            return 200, _listing(root, {key: str(value) for key, value in params.items()})
        path = (root / str(request["path"]).lstrip("/")).resolve()
        if not (path.is_relative_to(root) and path.is_file()):
            return 404, b""
        if path.stat().st_size > current().answer_bytes:
            raise exceeded(where, "answer_bytes", f"the file has {path.stat().st_size:,} bytes")
        return 200, path.read_bytes()
    except (OSError, RuntimeError) as error:
        # RuntimeError: a loop of symbolic links.
        if isinstance(error, OSError) and error.errno in OURS:
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        raise VenueUnavailableError(f"{where}: the mirror cannot be read: {reason}.") from error
    except ValueError as error:
        # A zero byte in the path, or a name that is no text.
        raise RequestRefusedError(f"{where}: no path of a mirror: {error}.") from error


def _listing(root: Path, params: Mapping[str, str]) -> bytes:
    prefix = params["prefix"]
    parent, slash, start = prefix.rpartition("/")
    folder = (root / parent).resolve()
    inside = sorted(folder.iterdir()) if folder.is_relative_to(root) and folder.is_dir() else []
    inside = [path for path in inside if path.name.startswith(start)]
    within = f"{parent}{slash}"
    if "delimiter" in params:
        keys = [f"{within}{path.name}/" for path in inside if path.is_dir()]
        entries = [f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>" for key in keys]
    else:
        keys = [key for path in inside if path.is_file() and (key := f"{within}{path.name}") > params.get("marker", "")]
        most = int(params.get("max-keys", MOST_KEYS))
        entries = [f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys[:most]]
    listed = f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{''.join(entries)}"
    return f"<ListBucketResult>{listed}</ListBucketResult>".encode()
