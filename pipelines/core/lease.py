"""Leases: whether the process that executes a run is alive, seen from every process, container and host that shares a home.

    dagster_home/leases/<run id>         counter, token, boot id and process; replaced by a rename at every renewal
    dagster_home/leases/<run id>.lock    locked for as long as the process lives: the kernel frees it however that ends
    dagster_home/leases/<run id>.lost    written by whoever declares the run dead, before saying so anywhere else

On one kernel (equal boot ids) the lock alone decides, also across namespaces of containers. Elsewhere a lease is dead when its
counter stands still on the observer's monotonic clock; wall clocks are never compared. A process that finds its lease lost ends
at once and commits nothing more. No Dagster here.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, NoReturn

from pipelines.core.errors import PermanentError
from pipelines.core.settings import Settings

RENEW_SECONDS: Final = 10.0
"""A lease is renewed this often."""
STANDSTILL_SECONDS: Final = 45.0
"""A lease of another kernel is dead when its counter has stood still for this long."""
NO_LEASE_SECONDS: Final = 60.0
"""A started run without a lease is dead when it has had none for this long."""
WATCHDOG_SECONDS: Final = 120.0
"""A process whose interpreter runs no other thread for this long is ended, with a traceback on stderr: nothing else in it can be
interrupted then, and Dagster's code server waits for it."""
LOST_EXIT_CODE: Final = 70

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
PID_NAMESPACE: Final = Path("/proc/self/ns/pid")


def boot_id() -> str:
    """Names the running kernel; equal in all of its namespaces. Without /proc, the host's name stands in for it."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return f"host {socket.gethostname()}"


def _pid_namespace() -> str:
    try:
        return str(PID_NAMESPACE.readlink())
    except OSError:
        return ""


@dataclass(frozen=True)
class Record:
    """What a lease file says. `pid` is a number of the namespace `pid_namespace`."""

    counter: int
    token: str
    boot_id: str
    pid: int
    pid_namespace: str
    host: str


class Leases:
    """The leases of one home."""

    def __init__(self, dagster_home: Path) -> None:
        self.folder = dagster_home / "leases"

    @classmethod
    def of(cls, settings: Settings) -> Leases:
        return cls(settings.dagster_home)

    def record(self, run_id: str) -> Record | None:
        """The lease of a run, or None if it has none."""
        try:
            return Record(**json.loads((self.folder / run_id).read_bytes()))
        except FileNotFoundError:
            return None

    def is_locked(self, run_id: str) -> bool:
        """Whether a process of this kernel holds the lease."""
        try:
            descriptor = os.open(self._lock_path(run_id), os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def declare_lost(self, run_id: str) -> None:
        """From now on the process that held this lease, should it live after all, commits nothing and ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lost_path(run_id).touch()

    def is_lost(self, run_id: str) -> bool:
        return self._lost_path(run_id).exists()

    def process_here(self, run_id: str) -> int | None:
        """Process id of the holder, if it is alive and in the process namespace of the caller."""
        record = self.record(run_id)
        if record is None or record.boot_id != boot_id() or record.pid_namespace != _pid_namespace():
            return None
        return record.pid if self.is_locked(run_id) else None

    def remove(self, *, but: Collection[str]) -> int:
        """Remove the files of all leases but those of the runs `but` and those that are held; return how many leases that were."""
        if not self.folder.is_dir():
            return 0
        run_ids = {path.name.split(".")[0] for path in self.folder.iterdir()} - set(but)
        removed = 0
        for run_id in sorted(run_ids):
            if run_id and not self.is_locked(run_id):
                removed += 1
                for path in (self.folder / run_id, self._lock_path(run_id), self._lost_path(run_id)):
                    path.unlink(missing_ok=True)
        return removed

    def _lock_path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.lock"

    def _lost_path(self, run_id: str) -> Path:
        return self.folder / f"{run_id}.lost"


@dataclass
class LeaseWatch:
    """Tells which runs are dead. Keeps what it saw, so that a counter that stands still is noticed: keep one per process."""

    leases: Leases
    monotonic: Callable[[], float] = time.monotonic
    boot: Callable[[], str] = boot_id
    _seen: dict[str, tuple[tuple[str, int] | None, float]] = field(default_factory=dict)

    def death(self, run_id: str) -> str | None:
        """Why the process of a started run is known to be dead; None if it lives or nothing is known yet."""
        record = self.leases.record(run_id)
        if record is not None and record.boot_id == self.boot():
            # Read again after the lock was tried: a process that ends well removes its lease before it frees the lock.
            if self.leases.is_locked(run_id) or self.leases.record(run_id) != record:
                return None
            return f"Process {record.pid} on {record.host} ended without finishing this run."
        state = None if record is None else (record.token, record.counter)
        now = self.monotonic()
        before, since = self._seen.get(run_id, (state, now))
        if before != state:
            since = now
        self._seen[run_id] = (state, since)
        if record is None:
            return (
                f"No process has held the lease of this run for {NO_LEASE_SECONDS:.0f} s."
                if now - since >= NO_LEASE_SECONDS
                else None
            )
        return (
            f"Process {record.pid} on {record.host} has not renewed its lease for {STANDSTILL_SECONDS:.0f} s."
            if now - since >= STANDSTILL_SECONDS
            else None
        )

    def forget(self, run_id: str) -> None:
        """Drop what was seen of a run that is over."""
        self._seen.pop(run_id, None)


class Lease:
    """The lease of a run that this process executes; held by `hold`."""

    def __init__(self, leases: Leases, run_id: str, *, renew_seconds: float) -> None:
        self._leases = leases
        self.run_id = run_id
        self._path = leases.folder / run_id
        self._renew_seconds = renew_seconds
        self._record = Record(
            counter=0,
            token=secrets.token_hex(8),
            boot_id=boot_id(),
            pid=os.getpid(),
            pid_namespace=_pid_namespace(),
            host=socket.gethostname(),
        )
        self._writing = threading.Lock()
        self._renewed = float("-inf")
        self._released = threading.Event()
        self._descriptor = -1
        self._keeper: threading.Thread | None = None

    def take(self) -> None:
        """Lock and write the lease. Raises PermanentError if another process holds it or the run was declared dead."""
        self._leases.folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path.with_name(f"{self.run_id}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise PermanentError(
                f"run {self.run_id} is already executed by another process; nothing was done."
            ) from error
        if self._leases.is_lost(self.run_id):
            os.close(self._descriptor)
            raise PermanentError(f"run {self.run_id} was declared dead before it began; start it again.")
        self._renew()
        self._keeper = threading.Thread(target=self._keep, name=f"lease {self.run_id}", daemon=True)
        self._keeper.start()

    def release(self) -> None:
        """Remove the lease, then free its lock."""
        self._released.set()
        if self._keeper is not None:
            self._keeper.join(timeout=self._renew_seconds)
        with self._writing:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._path.with_name(f"{self.run_id}.lock").unlink(missing_ok=True)

    def confirm(self) -> None:
        """End this process if the lease is lost. When it returns, nobody can call the lease dead for another half minute."""
        if time.monotonic() - self._renewed > self._renew_seconds:
            self._renew()
        self._end_if_lost()

    def _keep(self) -> None:
        while not self._released.wait(self._renew_seconds):
            _arm_watchdog()
            self._end_if_lost()
            # A full disk is no death: on this kernel the lock decides, and elsewhere the next renewals may succeed.
            with contextlib.suppress(OSError):
                self._renew()

    def _renew(self) -> None:
        with self._writing:
            if self._released.is_set():
                return
            self._record = replace(self._record, counter=self._record.counter + 1)
            temporary = self._path.with_name(f".{self.run_id}.{self._record.token}")
            temporary.write_text(json.dumps(asdict(self._record)), encoding="utf-8")
            temporary.replace(self._path)
            self._renewed = time.monotonic()

    def _end_if_lost(self) -> None:
        if not self._released.is_set() and self._leases.is_lost(self.run_id):
            _end(f"run {self.run_id} was declared dead by another process; this one ends without committing.")


def _end(message: str) -> NoReturn:
    """End the process from any thread, without any handler that could still write."""
    os.write(2, f"leverhouse: {message}\n".encode())
    os._exit(LOST_EXIT_CODE)


def _arm_watchdog() -> None:
    faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True, file=2)


_held: dict[str, Lease] = {}


@contextmanager
def hold(leases: Leases, run_id: str, *, renew_seconds: float = RENEW_SECONDS) -> Iterator[Lease]:
    """Hold the lease of a run inside the block, with the watchdog armed. Raises as Lease.take does."""
    lease = Lease(leases, run_id, renew_seconds=renew_seconds)
    lease.take()
    _held[run_id] = lease
    _arm_watchdog()
    try:
        yield lease
    finally:
        del _held[run_id]
        lease.release()
        if not _held:
            faulthandler.cancel_dump_traceback_later()


def confirm_leases() -> None:
    """Called by whoever is about to commit or to publish: ends this process if a run it executes was declared dead."""
    for lease in tuple(_held.values()):
        lease.confirm()
