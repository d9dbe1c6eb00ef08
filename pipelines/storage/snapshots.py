"""The published folder: a file per snapshot, the stable name as a link to the newest, and what is wrong with any of it.

    leverhouse.duckdb                          link to the newest snapshot; the name that readers open
    snapshots/leverhouse-<utc>.duckdb          a snapshot, read-only, never written again
    snapshots/leverhouse-<utc>.json            its size and digest when it was published

DuckDB keeps the log (.wal) of a client that opened a file for writing beside that file, and replays it into whatever lies
there when the file is opened next. Since no snapshot takes the place of another, a log can only ever reach its own. No SQL
here: publish.py writes snapshots, warehouse.py opens them.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pipelines.core.files import PUBLIC_FILE, write_atomically
from pipelines.core.settings import Settings

READ_ONLY: Final = 0o444
"""Mode of published files. A client without more rights is refused when it asks to write; root is not."""

_PREFIX: Final = "leverhouse-"
_STAMP: Final = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True)
class SnapshotRecord:
    """A snapshot as it was published: its name, size, digest and time of the last write."""

    name: str
    bytes: int
    sha256: str
    written_ns: int


@dataclass(frozen=True)
class SnapshotFault:
    """Something that a client did to the published folder, and what to do about it.

    `reaches_readers` is false where readers of the stable name do not see it.
    """

    what: str
    next_step: str
    reaches_readers: bool = True


def snapshots_dir(settings: Settings) -> Path:
    """The folder of the snapshots."""
    return settings.published_dir / "snapshots"


def snapshot_name(folder: Path, now: datetime) -> str:
    """The name of a snapshot of `now`; it sorts after those of all snapshots in `folder`, also if the clock went back."""
    newest = max((x.stem.removeprefix(_PREFIX) for x in folder.glob(f"{_PREFIX}*.duckdb")), default="")
    stamp = f"{now:{_STAMP}}"
    if stamp <= newest:
        stamp = f"{datetime.strptime(newest, _STAMP) + timedelta(microseconds=1):{_STAMP}}"  # noqa: DTZ007 - naive UTC
    return f"{_PREFIX}{stamp}.duckdb"


def publication_id(name: str) -> str:
    """What the name of a snapshot says of its publication: the instant."""
    return Path(name).stem.removeprefix(_PREFIX)


def log_of(database: Path) -> Path:
    """Where DuckDB keeps the log of a client that writes to `database`."""
    return database.with_name(database.name + ".wal")


def record_snapshot(database: Path) -> SnapshotRecord:
    """Make a finished snapshot read-only and write its record beside it."""
    database.chmod(READ_ONLY)
    facts = database.stat()
    record = SnapshotRecord(database.name, facts.st_size, _digest(database), facts.st_mtime_ns)
    write_atomically(_record_path(database), json.dumps(asdict(record), indent=1).encode(), mode=PUBLIC_FILE)
    return record


def current_snapshot(settings: Settings) -> Path | None:
    """The file behind the stable name, None if nothing is published."""
    link = settings.published_database
    return link.resolve() if link.exists() else None


def swap_link(link: Path, target: Path) -> None:
    """Let `link` lead to `target`, which lies beside or below it, in one step."""
    temporary = link.with_name(f".{secrets.token_hex(6)}.link")
    temporary.symlink_to(target.relative_to(link.parent), target_is_directory=target.is_dir())
    temporary.replace(link)


def put_away_stray_log(settings: Settings) -> None:
    """Move a log that lies beside the stable name to the snapshot that it belongs to, before that name leads elsewhere.

    Clients that do not resolve links (DuckDB 1.2) put it there.
    """
    stray, current = log_of(settings.published_database), current_snapshot(settings)
    if not stray.exists():
        return
    place = None if current is None or current == settings.published_database else log_of(current)
    if place is None or place.exists():
        place = snapshots_dir(settings) / f"stray-{secrets.token_hex(6)}.wal"
    stray.replace(place)


def remove_snapshot(database: Path) -> None:
    """Remove a snapshot with its record and log. Readers that have it open keep it."""
    for path in (database, _record_path(database), log_of(database)):
        path.unlink(missing_ok=True)


def remove_old_snapshots(settings: Settings) -> None:
    """Remove what a killed publish left, and all snapshots but the newest `settings.kept_snapshots`."""
    folder = snapshots_dir(settings)
    for leftover in (
        *folder.glob(".*"),
        *settings.published_dir.glob(".*.link"),
        *settings.published_dir.glob(".*.part*"),
    ):
        leftover.unlink(missing_ok=True)
    current = current_snapshot(settings)
    others = sorted((x for x in folder.glob(f"{_PREFIX}*.duckdb") if x != current), key=lambda x: x.name)
    kept = others[len(others) - min(len(others), settings.kept_snapshots - 1) :]
    for database in set(others) - set(kept):
        remove_snapshot(database)
    for path in (*folder.glob(f"{_PREFIX}*.wal"), *folder.glob(f"{_PREFIX}*.json")):
        if not path.with_suffix("" if path.suffix == ".wal" else ".duckdb").exists():
            path.unlink(missing_ok=True)
    if current is not None:
        for stray in folder.glob("stray-*.wal"):
            stray.unlink(missing_ok=True)


def inspect_snapshots(settings: Settings, *, full: bool) -> Iterator[SnapshotFault]:
    """What clients did to the published folder. With `full`, the digest of the current snapshot is compared even where its
    size and time are as recorded. Opens no database."""
    link, current = settings.published_database, current_snapshot(settings)
    if current is None:
        return
    publish_again = "close that client, connect it read-only (docs/connect.md), then run leverhouse publish"
    if current == link:
        yield SnapshotFault(
            f"{link} is a file and not a link to a snapshot", "run leverhouse publish, which makes it one"
        )
        return
    if log_of(link).exists():
        yield SnapshotFault(
            f"{log_of(link).name}: a client that does not resolve links (DuckDB 1.2) opened the published file for "
            "writing; such clients read its changes",
            publish_again,
        )
    if log_of(current).exists():
        yield SnapshotFault(
            f"{log_of(current).name}: a client opened the published file for writing; its changes are replayed into what "
            "readers see",
            publish_again,
        )
    yield from _compare_with_record(current, publish_again, full=full)
    for database in sorted(snapshots_dir(settings).glob(f"{_PREFIX}*.duckdb")):
        if database != current and log_of(database).exists():
            yield SnapshotFault(
                f"{log_of(database).name}: a client opened an earlier snapshot for writing; the current one is not touched",
                "connect that client read-only (docs/connect.md)",
                reaches_readers=False,
            )


def _compare_with_record(database: Path, next_step: str, *, full: bool) -> Iterator[SnapshotFault]:
    path = _record_path(database)
    try:
        record = SnapshotRecord(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        yield SnapshotFault(f"{path.name} cannot be read: {error}", "run leverhouse publish")
        return
    facts = database.stat()
    same = (facts.st_size, facts.st_mtime_ns) == (record.bytes, record.written_ns)
    if same and not full:
        return
    if facts.st_size != record.bytes or _digest(database) != record.sha256:
        yield SnapshotFault(f"{database.name} is not what was published: a client has written to it", next_step)


def _record_path(database: Path) -> Path:
    return database.with_suffix(".json")


def _digest(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
