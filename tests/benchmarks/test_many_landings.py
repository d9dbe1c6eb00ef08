"""A load that finds nothing new in a home of ten thousand small captures."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.operations.load import load_pending
from tests.benchmarks.many_landings import END, make_home, settings_of

LANDINGS = 10_000
SECONDS = 5.0
"""Of processor time; 3.0 to 3.7 were measured, and 3.8 to 4.1 before manifests were remembered."""


@pytest.mark.benchmark
def test_a_load_does_not_read_all_manifests_again(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    make_home(settings, LANDINGS)
    now = END + timedelta(minutes=30)
    load_pending(settings, clock=lambda: now).raise_failures()
    started = time.process_time()
    load_pending(settings, clock=lambda: now).raise_failures()
    assert time.process_time() - started <= SECONDS
