"""Leases: a run's process is alive, dead or unknown, whatever process asks; who lost its lease commits nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipelines.core.errors import PermanentError
from pipelines.core.lease import (
    LOST_EXIT_CODE,
    NO_LEASE_SECONDS,
    STANDSTILL_SECONDS,
    Leases,
    LeaseWatch,
    confirm_leases,
    hold,
)
from pipelines.core.settings import PROJECT_ROOT

RUN = "00000000-0000-4000-8000-000000000001"

_HOLD = """
import sys, time
from pathlib import Path
from pipelines.core.lease import Leases, confirm_leases, hold
with hold(Leases(Path(sys.argv[1])), sys.argv[2], renew_seconds=0.05):
    print("held", flush=True)
    for line in sys.stdin:
        if line.strip() == "commit":
            confirm_leases()
            print("committed", flush=True)
"""


_WEDGED = """
import ctypes, sys
from pathlib import Path
from pipelines.core import lease
lease.WATCHDOG_SECONDS = 0.5
with lease.hold(lease.Leases(Path(sys.argv[1])), sys.argv[2]):
    ctypes.PyDLL(None).sleep(60)  # keeps the interpreter from every other thread
"""


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def leases(tmp_path: Path) -> Leases:
    return Leases(tmp_path)


def start_holder(leases: Leases, *before: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", _HOLD, str(leases.folder.parent), RUN],
        cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture
def holder(leases: Leases) -> Iterator[subprocess.Popen[str]]:
    with start_holder(leases) as process:
        yield process
        process.kill()


def rewrite(leases: Leases, **changed: object) -> None:
    record = leases.record(RUN)
    assert record is not None
    (leases.folder / RUN).write_text(json.dumps(asdict(replace(record, **changed))))  # type: ignore[arg-type]


def test_a_living_holder_is_alive_and_a_killed_one_is_dead_at_once(
    leases: Leases, holder: subprocess.Popen[str]
) -> None:
    watch = LeaseWatch(leases)
    assert watch.death(RUN) is None
    assert leases.process_here(RUN) == holder.pid
    holder.kill()
    holder.wait()
    assert watch.death(RUN) is not None
    assert leases.process_here(RUN) is None


def test_on_one_kernel_the_lock_decides_even_if_the_counter_stands_still(
    leases: Leases, holder: subprocess.Popen[str]
) -> None:
    clock = Clock()
    watch = LeaseWatch(leases, monotonic=clock)
    holder.send_signal(signal.SIGSTOP)
    try:
        assert watch.death(RUN) is None
        clock.now += 10 * STANDSTILL_SECONDS
        assert watch.death(RUN) is None
    finally:
        holder.send_signal(signal.SIGCONT)


def test_on_another_kernel_a_counter_that_stands_still_is_dead_by_the_observer_s_clock(leases: Leases) -> None:
    clock = Clock()
    watch = LeaseWatch(leases, monotonic=clock, boot=lambda: "another kernel")
    with hold(leases, RUN, renew_seconds=1_000):
        assert watch.death(RUN) is None
        clock.now += STANDSTILL_SECONDS - 1
        assert watch.death(RUN) is None
        rewrite(leases, counter=2)
        assert watch.death(RUN) is None
        clock.now += STANDSTILL_SECONDS - 1
        assert watch.death(RUN) is None
        clock.now += 1
        assert "has not renewed its lease" in (watch.death(RUN) or "")


def test_a_run_without_a_lease_is_dead_after_a_minute(leases: Leases) -> None:
    clock = Clock()
    watch = LeaseWatch(leases, monotonic=clock)
    assert watch.death(RUN) is None
    clock.now += NO_LEASE_SECONDS - 1
    assert watch.death(RUN) is None
    clock.now += 1
    assert "No process has held the lease" in (watch.death(RUN) or "")


def test_a_run_that_has_just_ended_is_not_dead(leases: Leases) -> None:
    watch = LeaseWatch(leases)
    with hold(leases, RUN):
        assert watch.death(RUN) is None
    assert leases.record(RUN) is None
    assert watch.death(RUN) is None


def test_a_second_process_does_not_execute_the_same_run(leases: Leases, holder: subprocess.Popen[str]) -> None:
    assert holder.poll() is None
    with pytest.raises(PermanentError, match="already executed"), hold(leases, RUN):
        pass


def test_a_run_that_was_declared_dead_does_not_begin(leases: Leases) -> None:
    leases.declare_lost(RUN)
    with pytest.raises(PermanentError, match="declared dead"), hold(leases, RUN):
        pass


def test_who_lost_its_lease_ends_instead_of_committing(leases: Leases, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("commit\n")
    holder.stdin.flush()
    assert holder.stdout.readline() == "committed\n"
    holder.send_signal(signal.SIGSTOP)
    leases.declare_lost(RUN)
    holder.stdin.write("commit\n")
    holder.stdin.flush()
    holder.send_signal(signal.SIGCONT)
    output, errors = holder.communicate(timeout=60)
    assert (holder.returncode, output) == (LOST_EXIT_CODE, "")
    assert "declared dead by another process" in errors


def test_who_lost_its_lease_ends_also_while_it_waits(leases: Leases, holder: subprocess.Popen[str]) -> None:
    leases.declare_lost(RUN)
    assert holder.wait(timeout=60) == LOST_EXIT_CODE


def test_a_lease_is_renewed(leases: Leases, holder: subprocess.Popen[str]) -> None:
    first = leases.record(RUN)
    assert first is not None
    deadline = time.monotonic() + 30
    while leases.record(RUN) == first:
        assert time.monotonic() < deadline
        assert holder.poll() is None
        time.sleep(0.02)


def test_leases_of_runs_that_are_over_are_removed_and_no_others(leases: Leases, holder: subprocess.Popen[str]) -> None:
    (leases.folder / "over").write_text("{}")
    (leases.folder / "over.lock").touch()
    leases.declare_lost("over")
    (leases.folder / "unfinished").write_text("{}")
    assert leases.remove(but=["unfinished"]) == 1
    assert holder.poll() is None
    assert {path.name for path in leases.folder.iterdir() if not path.name.startswith(".")} == {
        RUN, f"{RUN}.lock", "unfinished",
    }  # fmt: skip


def test_a_process_that_keeps_the_interpreter_is_ended_with_a_traceback(leases: Leases) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WEDGED, str(leases.folder.parent), RUN],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert LeaseWatch(leases).death(RUN) is not None


def test_without_a_lease_there_is_nothing_to_confirm() -> None:
    confirm_leases()


def test_a_holder_in_other_namespaces_is_seen(leases: Leases) -> None:
    apart = ("unshare", "--pid", "--uts", "--ipc", "--mount", "--fork", "--kill-child")
    if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs namespaces, which this system lets nobody make")
    with start_holder(leases, *apart) as outside:
        watch = LeaseWatch(leases)
        try:
            assert watch.death(RUN) is None
            assert leases.process_here(RUN) is None, "its process id means nothing here"
        finally:
            outside.kill()
            outside.wait()
        deadline = time.monotonic() + 30
        while watch.death(RUN) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
