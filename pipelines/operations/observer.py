"""Callbacks for the events of a job; the command line uses them for progress and its report.

The default observer does nothing. No Dagster, no terminal here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.extract.fetch import FetchReport
    from pipelines.operations.build_report import BuildReport
    from pipelines.operations.import_check import ImportReport
    from pipelines.operations.load import LoadOutcome
    from pipelines.operations.rebuild import Comparison
    from pipelines.report.build import Report
    from pipelines.storage.publish import Publication


class Observer:
    """Receives the events of a job in order. Methods may be overridden; none may raise."""

    def progress(self, what: str, done: int, total: int) -> None:
        """`done` of `total` parts of `what` are finished; a total of 0 means unknown."""

    def imported(self, dataset: str, report: ImportReport) -> None:
        """The files of a data set were checked; those that passed are landed and loaded."""

    def fetched(self, reports: Sequence[FetchReport]) -> None:
        """The feeds of a venue were fetched, with the failures in the reports."""

    def loaded(self, outcome: LoadOutcome) -> None:
        """Pending landings were loaded, except those of failed sources."""

    def compared(self, tables: str, comparison: Comparison | None) -> None:
        """After a rebuild: the new `tables` (clean or marts) compared with the old ones; None if there were none."""

    def built(self, report: BuildReport) -> None:
        """dbt has finished, successfully or not."""

    def published(self, publication: Publication) -> None:
        """A new snapshot is published."""

    def reported(self, report: Report) -> None:
        """Readers see the pages of the new snapshot."""

    def failed(self, step: str, error: BaseException) -> None:
        """A step of the job failed with `error`."""
