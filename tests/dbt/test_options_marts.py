"""The option marts, built by dbt on invented chains: every awkward case, restated days, and never a look ahead.

The chains are options_world's. Formulas on plain cases are dbt's unit tests, agreement on real chains tests/recorded'.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import duckdb
import jinja2
import pytest

from tests.dbt.dbt_fixture import PROJECT, Dbt
from tests.dbt.options_fixture import DAYS, GAP, Capture, captured, cases, day, load, pair, ratios, smile

Row = dict[str, Any]
Key = tuple[Any, ...]
KEYS = {
    "options_structure_daily": ("asset", "trade_date"),
    "options_max_pain_daily": ("asset", "trade_date", "expiry_date"),
    "fct_option_oi_by_strike_daily": ("venue", "asset", "trade_date", "expiry_date", "strike_usd", "option_type"),
}
Marts = Mapping[str, Mapping[Key, Row]]
CUTS = (0, 3, 54, 56, 92)


@dataclass(frozen=True)
class Build:
    dbt: Dbt
    captures: Sequence[Capture]
    marts: Marts
    steps: Sequence[tuple[str, str, str]]
    """(relation, table or view, select) of every model, in the order dbt built them."""

    def structure(self, asset: str, number: int = 0) -> Row:
        return self.marts["options_structure_daily"][asset, day(number)]


def read(database: Path) -> Marts:
    marts = {}
    with duckdb.connect(str(database), read_only=True) as con:
        for mart, key in KEYS.items():
            cursor = con.execute(f"select * from marts.{mart}")
            names = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
            marts[mart] = {tuple(row[name] for name in key): row for row in rows}
            assert len(marts[mart]) == len(rows)
    return marts


@pytest.fixture(scope="module")
def build(dbt: Dbt) -> Build:
    captures = cases()
    with dbt.connection() as con:
        load(con, captures, 1)
    dbt.succeed("seed")
    dbt.succeed("run", "--select", "+options_structure_daily")
    kinds = {node["unique_id"]: node["config"]["materialized"] for node in dbt.manifest()["nodes"].values()}
    steps = [
        (result["relation_name"], "view" if kinds[result["unique_id"]] == "view" else "table", result["compiled_code"])
        for result in dbt.results()
    ]
    return Build(dbt=dbt, captures=captures, marts=read(dbt.database), steps=steps)


def differences(left: Marts, right: Marts) -> list[tuple[str, Key, str, Any, Any]]:
    """Cells of `left` that `right` has otherwise."""
    return [
        (mart, key, column, value, right[mart].get(key, {}).get(column))
        for mart, rows in left.items()
        for key, row in rows.items()
        for column, value in row.items()
        if not same(value, right[mart].get(key, {}).get(column))
    ]


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)


# The day of expiry


def test_an_option_counts_on_its_last_day_only_in_a_capture_from_before_eight(build: Build) -> None:
    assert build.structure("DUE", 0)["put_oi_base"] == 1.0 + 7.0
    assert build.structure("DUE", 1)["put_oi_base"] == 1.0
    assert build.structure("DUE", 1)["snapshot_at"] == captured(day(1), 9)
    due = build.marts["fct_option_oi_by_strike_daily"]["deribit", "DUE", day(0), day(0), 100.0, "put"]
    assert due["days_to_expiry"] == pytest.approx(1 / 24, rel=1e-12)


def test_the_settled_expiry_gives_way_to_the_next_as_the_nearest(build: Build) -> None:
    assert build.structure("DUE", 0)["max_pain_nearest_expiry_date"] == day(0)
    assert build.structure("DUE", 1)["max_pain_nearest_expiry_date"] == day(10)


# One strike, one side, ties


def test_a_single_strike_has_a_ratio_and_neither_max_pain_nor_a_smile(build: Build) -> None:
    row = build.structure("ONE")
    assert row["put_call_oi_ratio"] == 2.0
    assert row["call_wall_oi_share"] == row["put_wall_oi_share"] == 1.0
    assert row["max_pain_nearest_usd"] is None
    assert build.marts["options_max_pain_daily"]["ONE", day(0), day(9)]["max_pain_status"] == "single_strike"
    assert (row["iv_atm_7d"], row["iv_status_7d"]) == (None, "outside_expiries")


def test_a_chain_of_puts_has_no_ratio_no_max_pain_and_no_risk_reversal(build: Build) -> None:
    row = build.structure("PUT")
    assert (row["put_call_oi_ratio"], row["put_call_status"]) == (None, "no_calls")
    assert (row["risk_reversal_25d_30d"], row["iv_status_30d"]) == (None, "incomplete_smile")
    assert (row["call_oi_base"], row["call_wall_strike_usd"], row["max_pain_nearest_usd"]) == (None, None, None)
    assert row["oi_base"] == row["put_oi_base"] > 0
    assert row["otm_put_oi_share"] > 0


def test_a_tie_names_the_lowest_strike_and_says_so(build: Build) -> None:
    row = build.marts["options_max_pain_daily"]["TIE", day(0), day(9)]
    assert (row["max_pain_usd"], row["is_tie"], row["payout_usd"]) == (90.0, True, 100.0)


# Two venues, two sources


def test_venues_add_up_in_open_interest_and_the_larger_ones_volatility_is_stated(build: Build) -> None:
    two, alone = build.structure("TWO"), build.structure("RAW")
    assert two["oi_base"] == pytest.approx(1.25 * alone["oi_base"], rel=1e-12)
    assert two["oi_usd"] == pytest.approx(alone["oi_usd"] * (1 + 0.25 * 1.2), rel=1e-12)
    assert (two["venues"], two["iv_venue"], two["index_usd"]) == ("deribit,okx", "deribit", 100.0)
    for column in ("iv_atm_30d", "risk_reversal_25d_30d", "max_pain_nearest_usd", "put_call_oi_ratio"):
        assert two[column] == pytest.approx(alone[column], rel=1e-12)


def test_far_puts_are_far_by_the_index_of_their_own_venue(build: Build) -> None:
    # Open interest 1, 2, … 13 at 70, 75, … 130: below 90 there are 1 to 4, below 108 (0.9 × 120) 1 to 8, a quarter each.
    assert build.structure("TWO")["otm_put_oi_share"] == pytest.approx((10 + 36 / 4) / (91 * 1.25), rel=1e-12)


def test_the_venue_itself_speaks_unless_its_chain_broke_off(build: Build) -> None:
    assert build.structure("VIA", 0)["put_call_oi_ratio"] == 0.5
    assert build.structure("VIA", 1)["put_call_oi_ratio"] == 1.0
    assert [build.structure("VIA", n)["sources"] for n in (0, 1)] == ["deribit.option_chain", "files.option_chain"]


# Missing volatility, delta, index


def test_without_volatility_the_rest_of_the_row_is_known(build: Build) -> None:
    row = build.structure("DIM")
    assert (row["iv_venue"], row["iv_status_7d"], row["iv_atm_30d"], row["skew_25d_30d"]) == (None, "no_iv", None, None)
    assert row["put_call_oi_ratio"] == 1.0
    facts = build.marts["fct_option_oi_by_strike_daily"].values()
    assert {fact["delta_source"] for fact in facts if fact["asset"] == "DIM"} == {"none"}


def test_without_an_index_the_forward_of_the_nearest_expiry_stands_in(build: Build) -> None:
    assert build.structure("NOF")["index_usd"] == 98.0
    # 0.9 × 98 = 88.2: the puts at 70, 75, 80 and 85.
    assert build.structure("NOF")["otm_put_oi_share"] == pytest.approx(10 / 91, rel=1e-12)


def test_deltas_not_published_are_those_of_black_76(build: Build) -> None:
    compared = 0
    for row in build.marts["fct_option_oi_by_strike_daily"].values():
        if row["asset"] == "RAW":
            sigma = row["mark_iv"] * math.sqrt(row["days_to_expiry"] / 365)
            d1 = math.log(row["forward_usd"] / row["strike_usd"]) / sigma + sigma / 2
            expected = NormalDist().cdf(d1) - (row["option_type"] == "put")
            assert row["delta"] == pytest.approx(expected, abs=1e-13)
            assert row["delta_source"] == "black76"
            compared += 1
    assert compared == len(smile())


def test_a_smile_that_leans_to_the_puts_has_a_negative_risk_reversal_and_a_positive_skew(build: Build) -> None:
    row = build.structure("RAW")
    # The world's volatility falls by 0.2 points per dollar of strike: 0.52 at the forward, plus 0.001 per day to expiry.
    assert row["iv_atm_30d"] == pytest.approx(0.52 + 0.03, abs=0.01)
    # N(d1) = 0.25 lies at 112.6 dollars, N(d1) - 1 = -0.25 at 91: 21.6 dollars apart.
    assert row["risk_reversal_25d_30d"] == pytest.approx(-0.002 * 21.6, abs=0.005)
    assert row["skew_25d_30d"] == pytest.approx(-row["risk_reversal_25d_30d"] / row["iv_atm_30d"], rel=1e-12)
    assert row["iv_status_30d"] == row["iv_status_7d"] == "known"


# Partial chains


def test_a_capture_that_broke_off_does_not_speak_for_the_day(build: Build) -> None:
    assert build.structure("CUT", 0)["snapshot_at"] == captured(day(0))


def test_a_chain_of_six_in_ten_is_whole_and_one_of_half_is_partial(build: Build) -> None:
    assert [build.structure("CUT", n)["chain_completeness"] for n in range(4)] == [None, 1.0, 0.6, 0.5]
    assert [build.structure("CUT", n)["put_call_status"] for n in range(4)] == ["known"] * 3 + ["partial_chain"]
    partial = build.structure("CUT", 3)
    assert partial["oi_base"] is None
    assert (partial["venues_present"], partial["venues_partial"], partial["venues_expected"]) == (0, 1, 1)
    kept = [row for key, row in build.marts["fct_option_oi_by_strike_daily"].items() if key[1:3] == ("CUT", day(3))]
    assert [row["is_whole_chain"] for row in kept] == [False] * 5


# Percentile, history, restatement


def test_the_percentile_is_the_mid_rank_in_the_ninety_days_before(build: Build) -> None:
    held = ratios(build.captures, "LONG")
    ranked = {n: build.structure("LONG", n)["put_call_oi_percentile_90d"] for n in range(DAYS)}
    assert all(ranked[n] is None for n in range(90))
    for n in range(90, DAYS):
        window, value = [held[day(m)] for m in range(n - 90, n)], held[day(n)]
        below, equal = sum(v < value for v in window), sum(v == value for v in window)
        assert equal > 0
        assert ranked[n] == pytest.approx(100 * (below + equal / 2) / 90, rel=1e-12)


def test_a_day_without_a_capture_has_no_row_and_leaves_the_percentile_unknown(build: Build) -> None:
    assert ("GAPS", day(GAP)) not in build.marts["options_structure_daily"]
    assert {build.structure("GAPS", n)["put_call_oi_percentile_90d"] for n in range(DAYS) if n != GAP} == {None}


@pytest.mark.parametrize("cut", CUTS)
def test_history_reads_the_same_when_later_days_do_not_exist_yet(build: Build, tmp_path: Path, cut: int) -> None:
    earlier = build.dbt.copy(tmp_path)
    with earlier.connection() as con:
        con.execute("delete from clean.option_chain where trade_date > ?", [day(cut)])
        con.execute("delete from ops.loads where trade_date > ?", [day(cut)])
        for relation, kind, select in build.steps:
            con.execute(f"create or replace {kind} {relation} as {select}")
    then = read(earlier.database)
    assert len(then["options_structure_daily"]) < len(build.marts["options_structure_daily"])
    assert {key for key in build.marts["options_structure_daily"] if key[1] <= day(cut)} == set(
        then["options_structure_daily"]
    )
    assert differences(then, build.marts) == []


def test_a_row_is_available_after_its_day_and_after_every_row_before_it(build: Build) -> None:
    latest: dict[str, dt.datetime] = {}
    for (asset, date), row in sorted(build.marts["options_structure_daily"].items()):
        assert row["available_at"] >= dt.datetime.combine(date, dt.time()) + dt.timedelta(days=1)
        assert row["available_at"] >= latest.get(asset, row["available_at"])
        latest[asset] = row["available_at"]


def test_a_restated_capture_is_built_again_and_no_other_day_changes(build: Build, tmp_path: Path) -> None:
    later = build.dbt.copy(tmp_path)
    with later.connection() as con:
        load(con, [Capture("LONG", captured(day(95)), pair(8, 32))], 2)
    marts = ("fct_option_oi_by_strike_daily", "options_max_pain_daily", "options_structure_daily")
    later.succeed("run", "--select", *(f"int_option_chain_by_source+,+{mart}" for mart in marts))
    now = read(later.database)
    assert now["options_structure_daily"]["LONG", day(95)]["put_call_oi_ratio"] == 4.0
    changed = {key for mart, key, *_ in differences(build.marts, now) if mart == "options_structure_daily"}
    # The days after it rank themselves against the restated one.
    assert changed <= {("LONG", day(n)) for n in range(95, DAYS)}
    facts = {key[1:3] for mart, key, *_ in differences(build.marts, now) if mart == "fct_option_oi_by_strike_daily"}
    assert facts == {("LONG", day(95))}


# The project's own tests on these chains

IDENTITIES = "path:tests/analysis/options"
OF_ROWS = ("path:models/marts/analysis/options", "int_option_snapshots_daily", "fct_option_oi_by_strike_daily")
ROWS = [f"test_name:{name},{at}" for name in ("row_rules", "unique_combination") for at in OF_ROWS]


def test_rules_and_identities_hold_on_every_awkward_case(build: Build) -> None:
    build.dbt.succeed("test", "--select", IDENTITIES, *ROWS, "--exclude-resource-type", "unit_test")
    results = build.dbt.results()
    assert len(results) == 3 + 12
    assert {result["status"] for result in results} == {"pass"}


def test_a_lost_strike_and_an_expiry_counted_twice_break_the_identities(build: Build, tmp_path: Path) -> None:
    broken = build.dbt.copy(tmp_path)
    with broken.connection() as con:
        con.execute("delete from marts.fct_option_oi_by_strike_daily where asset = 'RAW' and strike_usd = 130")
        con.execute("update marts.options_max_pain_daily set oi_base = 2 * oi_base where asset = 'TWO'")
    assert not broken("test", "--select", IDENTITIES).success
    results = broken.results()
    assert {result["unique_id"].split(".")[2]: result["status"] for result in results} == {
        "every_live_option_has_its_strike": "fail",
        "expiries_add_up_to_the_day": "fail",
        "put_and_call_open_interest_is_the_total": "fail",
    }


# The normal distribution


def test_the_normal_distribution_is_right_to_fourteen_places_and_in_its_far_tail() -> None:
    # It renders SQL, not a page: escaping would garble it.
    source = (PROJECT / "macros" / "options.sql").read_text(encoding="utf-8")
    normal_cdf = jinja2.Environment(autoescape=False).from_string(source).module.normal_cdf("x")  # type: ignore[attr-defined]  # noqa: S701
    with duckdb.connect() as con:
        answers = con.execute(
            f"select x, {normal_cdf} from (select (i - 40000) / 1000e0 as x from range(0, 80001) as t (i)) as grid"
        ).fetchall()
        unknown = con.execute(f"select {normal_cdf} from (select cast(null as double) as x) as nothing").fetchall()
    assert len(answers) == 80_001
    assert unknown == [(None,)]
    exact = {x: math.erfc(-x / math.sqrt(2)) / 2 for x, _ in answers}
    assert max(abs(value - exact[x]) for x, value in answers) < 1e-14
    assert max(abs(value / exact[x] - 1) for x, value in answers if -37 <= x <= 0) < 1e-8
    assert {value for x, value in answers if x < -37} == {0.0}
    assert {value for x, value in answers if x > 37} == {1.0}
