"""Checks of the marts beyond dbt's tests: the newest day of every scheduled source is recent, and coverage has no gaps.

A freshness policy only sees when a table was built, and a backfill or rebuild makes it fresh; these checks look at the
rows. The queries are in storage.status.
"""

from collections.abc import Collection
from typing import Final

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import WRITER_POOL, table_metadata

FRESHNESS: Final = dg.AssetKey(["marts", "source_freshness"])
COVERAGE: Final = dg.AssetKey(["marts", "data_coverage_daily"])

BEHIND_DAYS: Final = 3
"""A scheduled source is behind if its newest day is older than this; archives arrive a day late and are restated."""


def build_mart_checks(settings: Settings, marts: Collection[dg.AssetKey]) -> list[dg.AssetChecksDefinition]:
    """The checks whose marts exist. They only warn: missing data must not block the publication of existing data."""
    checks = []
    if FRESHNESS in marts:
        checks += [_newest_day(settings), _recorders(settings)]
    if COVERAGE in marts:
        checks.append(_coverage(settings))
    return checks


def _newest_day(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=FRESHNESS,
        name="newest_day",
        description=f"Every scheduled source has rows of the last {BEHIND_DAYS} days. Imported files are listed but not "
        "checked, because they are history.",
        pool=WRITER_POOL,
    )
    def newest_day() -> dg.AssetCheckResult:
        return check_newest_day(settings)

    return newest_day


def _recorders(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=FRESHNESS,
        name="recorders",
        description="Every recorder that ran in the last week runs, listens, and does not reconnect all the time.",
    )
    def recorders() -> dg.AssetCheckResult:
        from pipelines.extract.landing import utc_now
        from pipelines.operations.recorders import recorder_reports

        found = recorder_reports(settings, utc_now())
        return dg.AssetCheckResult(
            passed=not any(report.faults for report in found),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={report.source: report.line for report in found},
        )

    return recorders


def _coverage(settings: Settings) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=COVERAGE,
        name="coverage",
        description="No source, table and venue has missing or partial days.",
        pool=WRITER_POOL,
    )
    def coverage() -> dg.AssetCheckResult:
        return check_coverage(settings)

    return coverage


def check_newest_day(settings: Settings) -> dg.AssetCheckResult:
    """Whether every scheduled source has recent rows."""
    from pipelines.extract.landing import utc_now
    from pipelines.operations.diagnostics import inspect_newest_days

    found = inspect_newest_days(settings, today=utc_now().date(), behind_days=BEHIND_DAYS)
    return dg.AssetCheckResult(
        asset_key=FRESHNESS,
        check_name="newest_day",
        passed=not found.behind,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "behind": table_metadata(found.behind),
            "sources": table_metadata(found.sources[:100]),
            "venues": table_metadata(found.venues[:200]),
        },
    )


def check_coverage(settings: Settings) -> dg.AssetCheckResult:
    """Whether no day is missing or partial."""
    from pipelines.operations.diagnostics import inspect_coverage

    counts, gaps = inspect_coverage(settings)
    return dg.AssetCheckResult(
        asset_key=COVERAGE,
        check_name="coverage",
        passed=not gaps,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **{f"{status}_days": days for status, days in counts.items()},
            "newest_gaps": table_metadata(gaps),
        },
    )
