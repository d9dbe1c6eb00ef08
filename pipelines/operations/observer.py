"""What happens while a job runs, told to whoever watches: the command line draws progress and its report from it.

The default watcher keeps silent. No Dagster, no terminal here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.extract.fetch import FetchReport
    from pipelines.extract.landing import Landing
    from pipelines.operations.build import BuildReport
    from pipelines.operations.load import LoadOutcome
    from pipelines.operations.rebuild import Comparison
    from pipelines.report.build import Report
    from pipelines.storage.publish import Publication


class Observer:
    """Receives what a job does, in the order in which it happens. Every method may be overridden; none may raise."""

    def progress(self, what: str, done: int, of: int) -> None:
        """`done` of `of` parts of `what` are finished; `of` 0 means that the number of parts is not known."""

    def landed(self, dataset: str, landings: Sequence[Landing], *, new: int) -> None:
        """The files of a data set are in the landing; `new` of them were not there before."""

    def fetched(self, reports: Sequence[FetchReport]) -> None:
        """What the feeds of a venue brought into the landing, and what failed."""

    def loaded(self, outcome: LoadOutcome) -> None:
        """Pending landings are in the clean tables, except for those of the sources that failed."""

    def compared(self, tables: str, comparison: Comparison | None) -> None:
        """After a rebuild: the new `tables` (clean or marts) against the old; None where there were none."""

    def built(self, report: BuildReport) -> None:
        """dbt has ended, successfully or not."""

    def published(self, publication: Publication) -> None:
        """Readers see a new snapshot."""

    def reported(self, report: Report) -> None:
        """Readers see the pages of the new snapshot."""

    def failed(self, step: str, error: BaseException) -> None:
        """A step of the job ended with `error`."""
