"""The two spellings of the rolling mid-rank, run side by side. The marts that use it are test_trend_marts' business."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import jinja2
import pytest

MACROS = Path(__file__).resolve().parents[2] / "dbt_project" / "macros" / "stats_windows.sql"
WINDOW = 7


@pytest.fixture(scope="module")
def ranks() -> dict[str, dict[tuple[str, int], float]]:
    """Spelling -> (series, day) -> mid-rank, over values with ties, gaps and a series of one value."""
    random_ = random.Random(3)
    rows: list[tuple[str, int, float | None]] = []
    for number in range(80):
        rows.append(("ties", number, random_.choice([-1.0, 0.0, 0.0, 0.0, 0.5])))
        rows.append(("gaps", number, None if number in (20, 33) else random_.random()))
        rows.append(("still", number, 4.0))
    # It renders SQL, not a page: escaping would garble it.
    macros = jinja2.Environment(autoescape=False).from_string(MACROS.read_text()).module  # noqa: S701
    answers = {}
    with duckdb.connect() as connection:
        connection.execute("create table observed (series varchar, day integer, seen double)")
        connection.executemany("insert into observed values (?, ?, ?)", rows)
        for spelling in ("default", "duckdb"):
            query = getattr(macros, f"{spelling}__stats_midrank")("observed", ["series"], "day", "seen", WINDOW)
            answers[spelling] = {(series, day): rank for series, day, rank in connection.execute(query).fetchall()}
    answers["counted"] = counted(rows)
    return answers


def counted(rows: list[tuple[str, int, float | None]]) -> dict[tuple[str, int], float]:
    seen = {(series, day): value for series, day, value in rows}
    answer = {}
    for (series, day), value in seen.items():
        window = [seen.get((series, day - back)) for back in range(1, WINDOW + 1)]
        known = [member for member in window if member is not None]
        if value is not None and len(known) == WINDOW:
            below = sum(member < value for member in known)
            equal = sum(member == value for member in known)
            answer[series, day] = 100 * (below + equal / 2) / WINDOW
    return answer


@pytest.mark.parametrize("spelling", ["default", "duckdb"])
def test_mid_rank_counts_values_below_and_half_the_equal_ones(
    ranks: dict[str, dict[tuple[str, int], float]], spelling: str
) -> None:
    assert ranks[spelling].keys() == ranks["counted"].keys()
    assert all(abs(rank - ranks["counted"][key]) < 1e-12 for key, rank in ranks[spelling].items())


def test_a_series_without_spread_stands_in_the_middle(ranks: dict[str, dict[tuple[str, int], float]]) -> None:
    assert {rank for (series, _), rank in ranks["duckdb"].items() if series == "still"} == {50.0}


def test_a_window_with_a_gap_has_no_rank(ranks: dict[str, dict[tuple[str, int], float]]) -> None:
    # Days 20 and 33 are missing: neither they nor the seven days after each can be ranked.
    assert {day for series, day in ranks["duckdb"] if series == "gaps"} == {
        *range(7, 20),
        *range(28, 33),
        *range(41, 80),
    }
