"""What a run of the service says between its start and its end: one line per result, and progress at most every half minute.

Dagster keeps these lines with the run (`managed_python_loggers` of dagster.yaml). On stderr they are text, or JSON documents for
programs (`log_format`).
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipelines.core.settings import Settings
from pipelines.operations.observer import Observer

if TYPE_CHECKING:
    from pipelines.extract.fetch import FetchReport
    from pipelines.extract.landing import Landing
    from pipelines.operations.build_report import BuildReport
    from pipelines.operations.load import LoadOutcome
    from pipelines.report.build import Report
    from pipelines.storage.publish import Publication

LOGGER: Final = "leverhouse"
PROGRESS_SECONDS: Final = 30.0


def start_logging(settings: Settings) -> None:
    """Let the logger write to stderr in the format of the settings; called once by a process of the service."""
    logger = logging.getLogger(LOGGER)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class TextLines(logging.Formatter):
    """Time in UTC, level, message."""

    converter = time.gmtime  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")


class JsonLines(logging.Formatter):
    """One JSON document a line: at, level, event, message, and the numbers of the event."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "event", {}),
        }
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False, default=str)


@dataclass
class RunLog(Observer):
    """Logs the events of a job."""

    clock: Callable[[], float] = time.monotonic
    _said: float = field(default=float("-inf"))

    def progress(self, what: str, done: int, total: int) -> None:
        now = self.clock()
        if now - self._said >= PROGRESS_SECONDS:
            self._said = now
            _say("progress", f"{what}: {done} of {total}" if total else what, what=what, done=done, total=total)

    def landed(self, dataset: str, landings: Sequence[Landing], *, new: int) -> None:
        _say("landed", f"landed {dataset}: {new} new of {len(landings)}", dataset=dataset, new=new, files=len(landings))

    def fetched(self, reports: Sequence[FetchReport]) -> None:
        for report in reports:
            new, failed = len(report.landings), len(report.failures)
            _say(
                "fetched", f"fetched {report.source}: {new} new, {report.unchanged} unchanged, {failed} failed",
                source=report.source, new=new, unchanged=report.unchanged, failed=failed,
            )  # fmt: skip

    def loaded(self, outcome: LoadOutcome) -> None:
        for report in outcome.reports:
            rows = sum(load.accepted for load in report.tables)
            refused = len(report.refused)
            _say(
                "loaded", f"loaded {report.source}: {rows} rows from {report.landings} landings, {refused} refused",
                source=report.source, rows=rows, landings=report.landings, refused=refused,
            )  # fmt: skip
        for source, error in outcome.failures.items():
            _say("not loaded", f"not loaded {source}: {error}", level=logging.ERROR, source=source)

    def built(self, report: BuildReport) -> None:
        models, tests, faults = len(report.models), len(report.tests), len(report.faults)
        _say(
            "built", f"built {models} models, {tests} tests, {faults} failed, in {report.seconds:.0f} s",
            models=models, tests=tests, failed=faults, seconds=round(report.seconds, 1),
        )  # fmt: skip

    def published(self, publication: Publication) -> None:
        _say(
            "published", f"published {publication.tables} tables, {publication.rows} rows",
            tables=publication.tables, rows=publication.rows, seconds=round(publication.seconds, 1),
        )  # fmt: skip

    def reported(self, report: Report) -> None:
        _say("reported", f"drew {report.assets} assets", assets=report.assets, seconds=round(report.seconds, 1))

    def failed(self, step: str, error: BaseException) -> None:
        _say("failed", f"failed {step}: {error}", level=logging.ERROR, step=step, error=type(error).__name__)


def _say(event: str, message: str, *, level: int = logging.INFO, **numbers: object) -> None:
    logging.getLogger(LOGGER).log(level, "%s", message, extra={"event": {"event": event, **numbers}})
