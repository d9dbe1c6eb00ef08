"""docs/evidence.md: scorecard and skill of levels of the published record, and what both make of markets of known truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

    from pipelines.sandbox.evidence import Truth


@dataclass(frozen=True)
class Record:
    """What the published file says as of a month: its primary hypotheses, counts of verdicts, and the last pooled skill."""

    judged_on: date
    first_day: date
    primary: Sequence[tuple[Any, ...]]
    verdicts: Sequence[tuple[str, str, int]]
    skill: Sequence[tuple[Any, ...]]


def read_record(con: duckdb.DuckDBPyConnection, *, until: date | None) -> Record | None:
    """The last month judged, or the last until a day; None where nothing was judged."""
    limit = until or date(9999, 12, 31)
    [(judged, first)] = con.execute(
        "select max(judged_on), min(first_day) from marts.signal_scorecard where judged_on <= ?", [limit]
    ).fetchall()
    if judged is None:
        return None
    primary = con.execute(
        "select signal, target, effect, ci_low, ci_high, p, n_events, n_days, mde, placebo_rejection_share, verdict, "
        "verdict_reason "
        "from marts.signal_scorecard where judged_on = ? and family = 'primary' order by hypothesis_id",
        [judged],
    ).fetchall()
    verdicts = con.execute(
        "select family, verdict, count(*) from marts.signal_scorecard where judged_on = ? group by all order by 1, 3 desc, 2",
        [judged],
    ).fetchall()
    skill = con.execute(
        "select side, count(*), 1 - sum(loss_map) / sum(loss_distance), max_by(skill_180d_vs_distance, trade_date), "
        "max_by(skill_low, trade_date), max_by(skill_high, trade_date), max_by(verdict, trade_date), min(trade_date), "
        "max(trade_date) "
        "from marts.liquidation_levels_skill_daily where asset = '*' and trade_date <= ? group by side order by side",
        [judged],
    ).fetchall()
    return Record(judged, first, primary, verdicts, skill)


def page(truth: Truth, record: Record | None, *, command: str) -> Iterator[str]:
    """The lines of the page."""
    yield from (
        "# Evidence: which signal worked, and where liquidations lie",
        "",
        f"Written by `{command}`; not to be edited.",
        "",
        "Most beliefs of traders have no evidence in the record, and this page says so where it is so. Methods and columns",
        "are those of `signal_scorecard` and `liquidation_levels_skill_daily` in the [data dictionary](data_dictionary.md).",
        "",
        "## The record",
        "",
    )
    if record is None:
        yield "No month of the published record was judged yet."
    else:
        yield from _record(record)
    yield from _truth(truth)


def _record(record: Record) -> Iterator[str]:
    supported = sum(number for _, verdict, number in record.verdicts if verdict == "supported")
    total = sum(number for _, _, number in record.verdicts)
    yield from (
        f"As judged on {record.judged_on}, from {record.first_day} on: of {total} hypotheses {supported} are supported.",
        "A hypothesis that was written down after a look at the record is judged by later days only: its effect is shown, and its",
        "verdict waits.",
        "",
        "| family | verdict | hypotheses |",
        "|---|---|---|",
    )
    for family, verdict, number in record.verdicts:
        yield f"| {family} | {verdict.replace('_', ' ')} | {number} |"
    yield from (
        "",
        "Primary hypotheses, 7 days ahead, natural logs. *Placebo*: share of 99 circular shifts of the signal with p below 0.05.",
        "",
        "| signal | target | effect | 95% interval | p | events | days | detectable | placebo | verdict |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for signal, target, effect, low, high, p, events, days, mde, placebo, verdict, reason in record.primary:
        if effect is None:
            yield f"| `{signal}` | {target} | – | – | – | {events:,} | {days:,} | – | – | {verdict.replace('_', ' ')}: {reason} |"
            continue
        share = "–" if placebo is None else f"{placebo:.0%}"
        yield (
            f"| `{signal}` | {target} | {effect:+.3%} | {low:+.2%} to {high:+.2%} | {p:.4f} | {events:,} | {days:,} | {mde:.2%} | "
            f"{share} | {verdict.replace('_', ' ')}: {reason} |"
        )
    yield from (
        "",
        "Liquidation levels against distance alone, all assets together (skill is 1 less the ratio of losses):",
        "",
        "| side | days scored | from | to | skill of all days | of the last 180 | 95% interval | verdict |",
        "|---|---|---|---|---|---|---|---|",
    )
    for side, days, whole, skill, low, high, verdict, first, last in record.skill:
        interval = "–" if low is None else f"{low:+.3f} to {high:+.3f}"
        recent = "–" if skill is None else f"{skill:+.3f}"
        yield f"| {side} | {days} | {first} | {last} | {whole:+.3f} | {recent} | {interval} | {verdict.replace('_', ' ')} |"
    yield from (
        "",
        "The recorded history tells closes only: how far the price went within a day is taken from one close to the next, so",
        "that levels that were reached in between count as open. With the extremes of days the skill is another.",
        "",
    )


def _truth(truth: Truth) -> Iterator[str]:
    yield from (
        "## Where nothing is",
        "",
        f"Null panels ({truth.panels} of each design, seeds 1 to {truth.panels}): returns with a common factor, fat tails and",
        "storms; signals that cluster and follow moves but know nothing of what comes. A test of 5% should reject about 5%.",
        "*Found*: where the effect was planted that should be found in 80% of cases.",
        "",
        "| design | horizon | rejected | found |",
        "|---|---|---|---|",
    )
    for size in truth.sizes:
        yield f"| {size.design.name} | {size.design.horizon} | {size.rate:.1%} | {size.power:.0%} |"
    yield from (
        "",
        f"Simulated markets without episodes ({truth.markets} seeds from 1 on, {truth.days} days, 6 assets), and the same with",
        "1.5 times the detectable effect planted:",
        "",
        "| signal | days ahead | p below 0.05 | planted and found |",
        "|---|---|---|---|",
    )
    for rate in truth.rates:
        yield f"| `{rate.signal}` | {rate.horizon} | {rate.rejected / rate.markets:.1%} | {rate.planted_found / rate.markets:.0%} |"
    yield from (
        "",
        "## Levels where they are known",
        "",
        "Simulated markets of 300 days and 6 assets, in which positions are opened at known prices and leverages and closed by",
        "force at their levels; and the same prices with liquidations that follow from open interest and the move only (null).",
        "Skill of the published mixture against distance alone, walk-forward, with its 95% interval.",
        "",
        "| seed | side | skill | interval | null: skill | interval |",
        "|---|---|---|---|---|---|",
    )
    for (seed, one), (_, null) in zip(truth.skills, truth.null_skills, strict=True):
        yield (
            f"| {seed} | {one.side} | {one.skill:+.3f} | {one.low:+.3f} to {one.high:+.3f} | {null.skill:+.3f} | "
            f"{null.low:+.3f} to {null.high:+.3f} |"
        )


def is_sound(truth: Truth) -> bool:
    """Whether every rate is within what is claimed: 8% of false positives, 90% found, levels above 0 and null levels not."""
    rejected = sum(rate.rejected for rate in truth.rates) / max(1, sum(rate.markets for rate in truth.rates))
    found = sum(rate.planted_found for rate in truth.rates) / max(1, sum(rate.markets for rate in truth.rates))
    above = sum(one.low > 0 for _, one in truth.null_skills)
    return (
        rejected <= 0.08 and found >= 0.90 and all(size.rate <= 0.10 for size in truth.sizes)
        and all(one.low > 0 for _, one in truth.skills) and above <= 0.05 * len(truth.null_skills)
    )  # fmt: skip
