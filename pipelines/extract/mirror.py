"""A local folder in place of a venue's file host: files by their path, and folders as a bucket lists them.

No HTTP; the client asks here where a base address is file://.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.sax.saxutils import escape


def answer(base: str, request: Mapping[str, Any]) -> tuple[int, bytes]:
    """Status and body for `request` from the folder that the file:// address `base` names; 404 for what is not in it.

    A request with the parameters `delimiter` and `prefix` is answered as Amazon's ListObjects is: the folders directly below
    `prefix`, all in one page.
    """
    root = Path(unquote(urlsplit(base).path)).resolve()
    params = request.get("params") or {}
    if "delimiter" in params:
        prefix = str(params.get("prefix", ""))
        return 200, _listing(root, prefix)
    path = (root / str(request["path"]).lstrip("/")).resolve()
    there = path.is_relative_to(root) and path.is_file()
    return (200, path.read_bytes()) if there else (404, b"")


def _listing(root: Path, prefix: str) -> bytes:
    folder = (root / prefix).resolve()
    names = sorted(x.name for x in folder.iterdir() if x.is_dir()) if _is_below(folder, root) else []
    entries = "".join(
        f"<CommonPrefixes><Prefix>{escape(f'{prefix}{name}/')}</Prefix></CommonPrefixes>" for name in names
    )
    text = f"<ListBucketResult><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    return text.encode()


def _is_below(folder: Path, root: Path) -> bool:
    return folder.is_relative_to(root) and folder.is_dir()
