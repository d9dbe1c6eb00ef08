"""The option marts of the recorded chains, built by dbt, compared with an independent computation from the files.

Open interest is summed as exact fractions, max pain evaluates every strike, smiles are interpolated in sorted lists.
test_mappings covers the mapping of the files.
"""

from __future__ import annotations

import csv
import datetime as dt
import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.contract.ddl import Contract, apply_ddl
from tests.dbt.dbt_fixture import Dbt, DbtIn
from tests.recorded.recorded_fixture import FOLDERS, Load

TOLERANCE = 1e-9
TENORS = {"7d": 7, "30d": 30}
Day = tuple[str, dt.date]
Expiry = tuple[str, dt.date, dt.date]
Row = dict[str, Any]


@dataclass(frozen=True)
class Option:
    kind: str
    strike: Fraction
    oi: Fraction
    volume: Fraction
    expiry: dt.datetime
    days: float
    iv: float
    delta: float
    index: float


@pytest.fixture(scope="module")
def chains(recorded_dir: Path) -> Mapping[Day, Sequence[Option]]:
    """The recorded files, read without the mapping."""
    options: dict[Day, list[Option]] = defaultdict(list)
    for path in sorted((recorded_dir / FOLDERS["deribit_option_snapshots"]).glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                taken = dt.datetime.fromisoformat(row["timestamp"])
                expiry = dt.datetime.fromisoformat(row["expiry_datetime"])
                options[row["currency"], taken.date()].append(
                    Option(
                        kind=row["option_type"],
                        strike=Fraction(row["strike"]),
                        oi=Fraction(row["open_interest"]),
                        volume=Fraction(row["volume"]),
                        expiry=expiry,
                        days=(expiry - taken).total_seconds() / 86400,
                        iv=float(row["implied_volatility"]),
                        delta=float(row["delta"]),
                        index=float(row["index_price"]),
                    )
                )
    return options


@pytest.fixture(scope="module")
def marts(load: Load, contract: Contract, dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    dbt = dbt_in(tmp_path_factory.mktemp("options"))
    with dbt.connection() as con:
        apply_ddl(con, contract)
        fill(con, contract, load("deribit_option_snapshots"))
    dbt.succeed("seed")
    dbt.succeed("run", "--select", "+options_structure_daily")
    return dbt


def fill(con: duckdb.DuckDBPyConnection, contract: Contract, dataset: Mapping[str, pl.DataFrame]) -> None:
    table = contract.table("option_chain")
    rows = dataset["option_chain"]
    columns = ", ".join(column for column in table.polars_schema() if column in rows.columns)
    con.register("parsed", rows)
    con.execute(
        f"insert into {table.qualified} ({columns}, trade_date, source, landing_id, loaded_at) "
        f"select {columns}, cast(snapshot_at as date), 'files.deribit', 'l', timestamp '2026-02-01' from parsed"
    )
    con.unregister("parsed")
    con.execute(
        "insert into ops.loads select 1, 'files.deribit', 'option_chain', trade_date, count(*), count(*), 0, 0, 0, 0, 0, 0, null, "
        "timestamp '2026-02-01', null, null, null from clean.option_chain group by trade_date"
    )


def rows(dbt: Dbt, table: str) -> Sequence[Row]:
    with dbt.connection() as con:
        cursor = con.execute(f"select * from marts.{table}")
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@pytest.fixture(scope="module")
def structure(marts: Dbt) -> Mapping[Day, Row]:
    return {(row["asset"], row["trade_date"]): row for row in rows(marts, "options_structure_daily")}


@pytest.fixture(scope="module")
def max_pain(marts: Dbt) -> Mapping[Expiry, Row]:
    return {(row["asset"], row["trade_date"], row["expiry_date"]): row for row in rows(marts, "options_max_pain_daily")}


def total(options: Sequence[Option], kind: str) -> Fraction:
    return sum((option.oi for option in options if option.kind == kind), Fraction())


def payout(options: Sequence[Option], settled: Fraction) -> Fraction:
    return sum(
        (
            option.oi * max(settled - option.strike if option.kind == "call" else option.strike - settled, Fraction())
            for option in options
        ),
        Fraction(),
    )


def interpolate(points: Mapping[float, float], x: float) -> float:
    """Linear interpolation at x, which is within the range of the points."""
    xs = sorted(points)
    if x in points:
        return points[x]
    index = bisect_left(xs, x)
    left, right = xs[index - 1], xs[index]
    weight = (right - x) / (right - left)
    return weight * points[left] + (1 - weight) * points[right]


def smile(options: Sequence[Option], kind: str, delta: float) -> float | None:
    ivs_by_delta: dict[float, list[float]] = defaultdict(list)
    for option in options:
        if option.kind == kind and option.iv > 0:
            ivs_by_delta[option.delta].append(option.iv)
    if not ivs_by_delta or not min(ivs_by_delta) <= delta <= max(ivs_by_delta):
        return None
    return interpolate({x: statistics.fmean(ivs) for x, ivs in ivs_by_delta.items()}, delta)


def at_tenor(options: Sequence[Option], tenor: int, *points: tuple[str, float]) -> float:
    """Mean volatility of the points of each expiry, interpolated to the tenor in total variance."""
    by_expiry: dict[float, list[Option]] = defaultdict(list)
    for option in options:
        by_expiry[option.days].append(option)
    variance = {}
    for days, chain in by_expiry.items():
        ivs = [smile(chain, kind, delta) for kind, delta in points]
        if None not in ivs:
            variance[days] = statistics.fmean(iv for iv in ivs if iv is not None) ** 2 * days
    return float((interpolate(variance, tenor) / tenor) ** 0.5)


def near(value: Any, expected: float) -> bool:
    return isinstance(value, float) and abs(value - expected) <= TOLERANCE * max(1.0, abs(expected))


def test_every_recorded_chain_has_a_row_with_known_values(
    chains: Mapping[Day, Sequence[Option]], structure: Mapping[Day, Row]
) -> None:
    assert structure.keys() == chains.keys()
    assert len(structure) == 28
    statuses = {(row["put_call_status"], row["iv_status_7d"], row["iv_status_30d"]) for row in structure.values()}
    assert statuses == {("known", "known", "known")}
    # 14 days of data are too few for a 90-day percentile.
    assert {row["put_call_oi_percentile_90d"] for row in structure.values()} == {None}


def test_put_call_ratios_and_otm_put_share_match(
    chains: Mapping[Day, Sequence[Option]], structure: Mapping[Day, Row]
) -> None:
    for day, options in chains.items():
        row = structure[day]
        calls, puts = total(options, "call"), total(options, "put")
        volume = {kind: sum(o.volume for o in options if o.kind == kind) for kind in ("call", "put")}
        index = statistics.median(option.index for option in options)
        far = sum(o.oi for o in options if o.kind == "put" and o.strike < Fraction(9, 10) * Fraction(index))
        assert near(row["oi_base"], float(calls + puts))
        assert near(row["oi_usd"], float(calls + puts) * index)
        assert near(row["put_call_oi_ratio"], float(puts / calls))
        assert near(row["put_call_volume_ratio"], float(volume["put"] / volume["call"]))
        assert near(row["otm_put_oi_share"], float(far / puts))


def test_walls_are_the_strikes_with_the_most_open_interest(
    chains: Mapping[Day, Sequence[Option]], structure: Mapping[Day, Row]
) -> None:
    for day, options in chains.items():
        for kind in ("call", "put"):
            oi: dict[Fraction, Fraction] = defaultdict(Fraction)
            for option in options:
                if option.kind == kind:
                    oi[option.strike] += option.oi
            wall = max(oi, key=lambda strike: (oi[strike], -strike))
            assert structure[day][f"{kind}_wall_strike_usd"] == float(wall)
            assert near(structure[day][f"{kind}_wall_oi_share"], float(oi[wall] / total(options, kind)))


def test_max_pain_is_the_strike_with_the_lowest_payout_of_all(
    chains: Mapping[Day, Sequence[Option]], max_pain: Mapping[Expiry, Row]
) -> None:
    expiries = 0
    for (asset, date), options in chains.items():
        for expiry in {option.expiry for option in options}:
            chain = [option for option in options if option.expiry == expiry]
            payouts = {strike: payout(chain, strike) for strike in {option.strike for option in chain}}
            lowest = min(payouts.values())
            strikes = sorted(strike for strike, amount in payouts.items() if amount == lowest)
            row = max_pain[asset, date, expiry.date()]
            assert row["max_pain_usd"] == float(strikes[0])
            assert row["is_tie"] == (len(strikes) > 1)
            assert abs(row["payout_usd"] - float(lowest)) <= TOLERANCE * float(row["oi_usd"])
            expiries += 1
    assert expiries == len(max_pain) == 338
    assert {row["is_tie"] for row in max_pain.values()} == {True, False}


def test_the_daily_row_has_the_nearest_and_the_largest_expiry(
    chains: Mapping[Day, Sequence[Option]], structure: Mapping[Day, Row], max_pain: Mapping[Expiry, Row]
) -> None:
    for day, options in chains.items():
        oi: dict[dt.date, Fraction] = defaultdict(Fraction)
        for option in options:
            oi[option.expiry.date()] += option.oi
        for which, expiry in (("nearest", min(oi)), ("largest", max(oi, key=lambda date: oi[date]))):
            assert structure[day][f"max_pain_{which}_expiry_date"] == expiry
            assert structure[day][f"max_pain_{which}_usd"] == max_pain[(*day, expiry)]["max_pain_usd"]


@pytest.mark.parametrize("label", TENORS)
def test_volatility_risk_reversal_and_skew_match(
    chains: Mapping[Day, Sequence[Option]], structure: Mapping[Day, Row], label: str
) -> None:
    for day, options in chains.items():
        row, tenor = structure[day], TENORS[label]
        at_the_money = at_tenor(options, tenor, ("call", 0.5), ("put", -0.5))
        reversal = at_tenor(options, tenor, ("call", 0.25)) - at_tenor(options, tenor, ("put", -0.25))
        assert near(row[f"iv_atm_{label}"], at_the_money)
        assert near(row[f"risk_reversal_25d_{label}"], reversal)
        assert near(row[f"skew_25d_{label}"], -reversal / at_the_money)


def test_black_76_deltas_match_the_published_ones(marts: Dbt, tmp_path: Path) -> None:
    """The same chains without the published deltas. The tolerance covers quotes that were fetched one after another but have
    one timestamp and one forward per expiry in the file."""
    option = ("asset", "trade_date", "expiry_date", "strike_usd", "option_type")
    without_deltas = marts.copy(tmp_path)
    with without_deltas.connection() as con:
        con.execute("update clean.option_chain set delta = null")
    without_deltas.succeed(
        "run", "--full-refresh", "--select", "int_option_chain_by_source", "fct_option_oi_by_strike_daily"
    )

    published = {tuple(row[key] for key in option): row for row in rows(marts, "fct_option_oi_by_strike_daily")}
    computed = {tuple(row[key] for key in option): row for row in rows(without_deltas, "fct_option_oi_by_strike_daily")}

    assert {row["delta_source"] for row in published.values()} == {"stated"}
    assert {row["delta_source"] for row in computed.values()} == {"black76"}
    errors = [abs(row["delta"] - published[key]["delta"]) for key, row in computed.items()]
    assert len(errors) == 18_302
    assert statistics.median(errors) < 2e-4
    assert statistics.quantiles(errors, n=100)[-1] < 0.01
    assert max(errors) < 0.03
