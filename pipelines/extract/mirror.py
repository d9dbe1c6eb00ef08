"""A local folder in place of a venue's file host: files by path, and bucket listings of folders.

No HTTP; the client uses it for file:// base URLs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape


def answer(base: str, request: Mapping[str, Any]) -> tuple[int, bytes]:
    """Status and body of `request` from the folder of the file:// URL `base`; 404 for a missing file.

    A request with the parameter `prefix` (a folder, or one and the start of a name) returns one page of an S3 ListObjects
    listing: with `delimiter`, the folders directly below the prefix; without it, the files after `marker`, at most `max-keys`.
    """
    root = Path(unquote(urlsplit(base).path)).resolve()
    params = request.get("params") or {}
    if "prefix" in params:
        return 200, _listing(root, {key: str(value) for key, value in params.items()})
    path = (root / str(request["path"]).lstrip("/")).resolve()
    exists = path.is_relative_to(root) and path.is_file()
    return (200, path.read_bytes()) if exists else (404, b"")


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
        entries = [
            f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys[: int(params.get("max-keys", 1000))]
        ]
    listed = f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{''.join(entries)}"
    return f"<ListBucketResult>{listed}</ListBucketResult>".encode()
