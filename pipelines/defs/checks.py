"""Checks of the marts beyond dbt's tests: the newest day of every scheduled source is recent, coverage has no gaps, and what the
evidence says of itself.

A freshness policy only sees when a table was built, and a backfill or rebuild makes it fresh; these checks look at the
rows. The queries are in storage.status.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import WRITER_POOL, table_metadata

FRESHNESS: Final = dg.AssetKey(["marts", "source_freshness"])
COVERAGE: Final = dg.AssetKey(["marts", "data_coverage_daily"])
LEVELS: Final = dg.AssetKey(["marts", "liquidation_levels_summary_daily"])
SKILL: Final = dg.AssetKey(["marts", "liquidation_levels_skill_daily"])
SCORECARD: Final = dg.AssetKey(["marts", "signal_scorecard"])

BEHIND_DAYS: Final = 3
"""A scheduled source is behind if its newest day is older than this; archives arrive a day late and are restated."""

REMAINDER_MAX: Final = 1e-9
"""Part of open interest that levels may leave out: rounding."""
SHIFTED_MAX: Final = 0.08
"""Share of shifted signals that may look like an effect at 5%: what simulated null markets stay below (docs/evidence.md)."""


def build_mart_checks(settings: Settings, marts: Collection[dg.AssetKey]) -> list[dg.AssetChecksDefinition]:
    """The checks whose marts exist. They only warn, but for an identity: missing data must not block the publication of existing
    data."""
    checks = [_check(settings, asset, name) for asset, name in CHECKS if asset in marts]
    return [*checks, _recorders(settings)] if FRESHNESS in marts else checks


def checks_of_build(settings: Settings, marts: Collection[dg.AssetKey]) -> Iterator[dg.AssetCheckResult]:
    """The results that a build reports, of the marts that exist."""
    for (asset, _), (_, check) in CHECKS.items():
        if asset in marts:
            yield check(settings)


def _check(settings: Settings, asset: dg.AssetKey, name: str) -> dg.AssetChecksDefinition:
    description, result = CHECKS[asset, name]

    @dg.asset_check(asset=asset, name=name, description=description, pool=WRITER_POOL)
    def check() -> dg.AssetCheckResult:
        return result(settings)

    return check


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


def check_identity(settings: Settings) -> dg.AssetCheckResult:
    """Whether the levels of every day account for all of open interest."""
    from pipelines.operations.diagnostics import inspect_evidence

    found = inspect_evidence(settings)
    return dg.AssetCheckResult(
        asset_key=LEVELS,
        check_name="identity",
        passed=found.remainder is None or found.remainder <= REMAINDER_MAX,
        metadata={"rows": found.rows, **_known(largest_remainder=found.remainder)},
    )


def check_false_positives(settings: Settings) -> dg.AssetCheckResult:
    """Whether signals that were shifted in time are found no more often than chance finds them."""
    from pipelines.operations.diagnostics import inspect_evidence

    found = inspect_evidence(settings)
    return dg.AssetCheckResult(
        asset_key=SCORECARD,
        check_name="false_positive_rate",
        passed=found.shifted is None or found.shifted <= SHIFTED_MAX,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"hypotheses": found.hypotheses, **_known(mean_share_below_5_percent=found.shifted)},
    )


def check_skill(settings: Settings) -> dg.AssetCheckResult:
    """Whether the levels are no worse than distance alone, on either side."""
    from pipelines.operations.diagnostics import inspect_evidence

    found = inspect_evidence(settings)
    return dg.AssetCheckResult(
        asset_key=SKILL,
        check_name="skill",
        passed=all(row["verdict"] != "worse" for row in found.skill),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"all_assets": table_metadata(found.skill)},
    )


def _known(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


CHECKS: Final[Mapping[tuple[dg.AssetKey, str], tuple[str, Callable[[Settings], dg.AssetCheckResult]]]] = {
    (FRESHNESS, "newest_day"): (
        f"Every scheduled source has rows of the last {BEHIND_DAYS} days. Imported files, which are history, are listed only.",
        check_newest_day,
    ),
    (COVERAGE, "coverage"): ("No source, table and venue has missing or partial days.", check_coverage),
    (LEVELS, "identity"): ("The levels of every asset, day and side add up to its open interest.", check_identity),
    (SCORECARD, "false_positive_rate"): (
        f"Of signals shifted to other days, at most {SHIFTED_MAX:.0%} look like an effect at 5%.",
        check_false_positives,
    ),
    (SKILL, "skill"): (
        "The levels are not worse than distance alone: skill of 180 days with its interval and verdict, all assets together.",
        check_skill,
    ),
}
"""Checks that a build makes and the UI can repeat: asset and name, what they say, and how."""
