"""The warehouse of all recorded data sets, built once: the modules of this folder stay in one worker (tests/suite.py)."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from pipelines.core.settings import Settings
from pipelines.storage.warehouse import open_snapshot
from tests.recorded.recorded_fixture import Job


@pytest.fixture(scope="session")
def job(recorded_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = Job(home=tmp_path_factory.mktemp("recorded"), recorded=recorded_dir, output="", cpu=0)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = job.run("run", "--root", str(recorded_dir))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return replace(job, output=output, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@pytest.fixture(scope="session")
def published(job: Job) -> Iterator[duckdb.DuckDBPyConnection]:
    con = open_snapshot(Settings(home=job.home).published_database)
    yield con
    con.close()
