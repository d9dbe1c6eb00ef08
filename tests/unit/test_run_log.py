"""Runs of the service say what they do: as text for people, as JSON for programs."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.errors import GateError
from pipelines.core.settings import Settings
from pipelines.operations.run_log import LOGGER, PROGRESS_SECONDS, RunLog, start_logging
from pipelines.storage.publish import Publication


@pytest.fixture
def restored() -> Iterator[None]:
    logger = logging.getLogger(LOGGER)
    before = (list(logger.handlers), logger.level, logger.propagate)
    yield
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def publication(folder: Path) -> Publication:
    return Publication(database=folder, parquet=folder, snapshot=folder, tables=3, rows=70, bytes=1, seconds=0.25)


def test_results_are_json_documents_with_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], restored: None
) -> None:
    start_logging(Settings(home=tmp_path, log_format="json"))
    log = RunLog()
    log.published(publication(tmp_path))
    log.failed("clean", GateError("refused “x”"))
    published, failed = (json.loads(line) for line in said(capsys))
    assert published.pop("at").endswith("+00:00")
    assert published == {
        "level": "info", "message": "published 3 tables, 70 rows", "event": "published", "tables": 3, "rows": 70,
        "seconds": 0.2,
    }  # fmt: skip
    assert (failed["level"], failed["error"], failed["step"]) == ("error", "GateError", "clean")


def test_as_text_a_line_has_time_level_and_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], restored: None
) -> None:
    start_logging(Settings(home=tmp_path))
    RunLog().landed("example", (), new=0)
    [line] = said(capsys)
    assert line.endswith("Z INFO landed example: 0 new of 0")


def test_progress_is_said_twice_a_minute_at_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], restored: None
) -> None:
    start_logging(Settings(home=tmp_path))
    now = [0.0]
    log = RunLog(clock=lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        log.progress("bybit.funding", second, 100)
    assert [line.split("INFO ")[1] for line in said(capsys)] == [
        f"bybit.funding: {n} of 100" for n in (0, int(PROGRESS_SECONDS), 60)
    ]
