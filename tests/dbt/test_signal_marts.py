"""The signals, built by dbt: each one by hand at its threshold and without its inputs; all of them on an invented market as
an independent computation says, never looking ahead.

The market is signal_world's, the independent computation signal_reference's. Contracts and identities are dbt's tests.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt import signal_fixture as signal_world
from tests.dbt import signal_reference
from tests.dbt.dbt_fixture import DbtIn
from tests.dbt.trend_fixture import MarketModel, Row, day, known_after

KEYS: Mapping[str, tuple[str, ...]] = {
    "signals_daily": ("asset", "trade_date", "signal"),
    "signal_matrix_daily": ("asset", "trade_date"),
}
INPUT_MODELS = ("int_signal_inputs_daily", "int_signal_coverage_daily", "int_signal_percentiles_daily")
TOLERANCE = 1e-9
# In silences, behind the last day of a delisted asset, before a late row is known, and with every window full.
CUTS = (64, 151, 251, 301, 305, 376, 465)

with signal_world.SIGNALS_CSV.open(encoding="utf-8", newline="") as seed:
    SEED = list(csv.DictReader(seed))
DIRECTIONS = {row["signal"]: row["direction"] for row in SEED}

Keyed = dict[tuple[Any, ...], Row]


@dataclass(frozen=True)
class Build:
    world: MarketModel
    database: Path
    marts: Mapping[str, Keyed]
    steps: tuple[tuple[str, str], ...]
    """(relation, select) of every model, in the order dbt built them."""
    parents: frozenset[str]
    """Models that the signals read, by name."""


def read_marts(database: Path) -> dict[str, Keyed]:
    with duckdb.connect(str(database), read_only=True) as connection:
        marts = {}
        for name, key in KEYS.items():
            cursor = connection.execute(f"select * from marts.{name}")
            columns = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            marts[name] = {tuple(row[column] for column in key): row for row in rows}
            assert len(marts[name]) == len(rows)
        return marts


def build_in(database: Path, steps: tuple[tuple[str, str], ...]) -> dict[str, Keyed]:
    with duckdb.connect(str(database)) as connection:
        for relation, select in steps:
            connection.execute(f"create table {relation} as {select}")
    return read_marts(database)


@pytest.fixture(scope="module")
def build(dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("signals")
    database = folder / "leverhouse.duckdb"
    world = signal_world.invent()
    signal_world.write(world, database)
    dbt = dbt_in(folder)
    # What followed a signal is no part of it: signal_outcomes reads prices, which this market has none of.
    dbt.succeed("run", "--select", "path:models/marts/analysis/signals", "--exclude", "signal_outcomes")
    results = dbt.results()
    return Build(
        world=world,
        database=database,
        marts=read_marts(database),
        steps=tuple((result["relation_name"], result["compiled_code"]) for result in results),
        parents=frozenset(
            parent.rpartition(".")[2]
            for model in INPUT_MODELS
            for parent in dbt.manifest()["parent_map"][f"model.leverhouse.{model}"]
        ).difference(INPUT_MODELS),
    )


# By hand. A case is a day on which the columns named hold these values, the states are off, and all else is missing.


@dataclass(frozen=True)
class Case:
    says: str
    signal: str
    day: Row
    state: str
    strength: float | None
    reason: str | None = None


OI: Row = {"oi_base_reported": 8.0, "close_usd": 2.0}
GRID: Row = {"oi_base_reported": 8.0, "excess_rate_8h_at_close": 0.0}
CROWD: Row = {"account_long_share": 0.5, "put_call_oi_ratio": 1.0, "oi_base_reported": 8.0}
CHAIN: Row = {"exchange_position_notional_usd": 1.0, "lending_collateral_seized_usd": 1.0}
DEX: Row = {"exchange_position_notional_usd": 1.0, "perp_dex_position_notional_usd": 1.0}
EXPANDED: Row = OI | {"expansion": "on"}
DIPPED: Row = OI | {"divergence": "bought_dip"}
UNWOUND: Row = OI | {"divergence": "deleveraging"}
STRESSED: Row = CHAIN | {"lending_zscore_90d": 1.5}


def half(halves: float) -> float:
    """The strength so many halves of the way from the threshold, 0.01, to the extreme, 1."""
    return 0.01 + 0.99 * halves / 2


CASES = [
    Case("at 8%", "oi_expansion", EXPANDED | {"oi_growth_1d": 0.08}, "on", 0.01),
    Case("at twice 8%", "oi_expansion", EXPANDED | {"oi_growth_1d": 0.16}, "on", half(1)),
    Case("at ten times 8%", "oi_expansion", EXPANDED | {"oi_growth_1d": 0.8}, "on", half(1.8)),
    Case(
        "growth without a flat price", "oi_expansion",
        EXPANDED | {"expansion": "off", "oi_growth_1d": 0.5}, "off", 0.0,
    ),
    Case(
        "no open interest", "oi_expansion",
        {"expansion": "unknown", "close_usd": 2.0}, "unknown", None, "missing open interest",
    ),
    Case("nothing", "oi_expansion", {"expansion": "unknown"}, "unknown", None, "missing open interest, price"),
    Case("a young asset", "oi_expansion", OI | {"expansion": "unknown"}, "unknown", None, "window not full"),
    Case(
        "most of the market silent", "oi_expansion", OI | {"expansion": "unknown", "oi_compared_share_1d": 0.4},
        "unknown", None, "too few venues compared",
    ),
    Case(
        "volume at its quantile", "oi_expansion_confirmed",
        OI | {"expansion_confirmed": "on", "volume_base": 8.0, "volume_high_30d": 8.0}, "on", 0.01,
    ),
    Case(
        "twice that volume", "oi_expansion_confirmed",
        OI | {"expansion_confirmed": "on", "volume_base": 8.0, "volume_high_30d": 4.0}, "on", half(1),
    ),
    Case(
        "no volume", "oi_expansion_confirmed", OI | {"expansion_confirmed": "unknown"}, "unknown", None, "missing volume"
    ),
    Case(
        "volume of other venues", "oi_expansion_confirmed", OI | {"expansion_confirmed": "unknown", "volume_base": 8.0},
        "unknown", None, "window not full or its venues changed",
    ),
    Case("bought at twice the change", "bought_dip", DIPPED | {"oi_change_sigmas": 1.0}, "on", half(1)),
    Case("a bought dip", "deleveraging", DIPPED | {"oi_change_sigmas": 1.0}, "off", 0.0),
    Case("unwound at twice the change", "deleveraging", UNWOUND | {"oi_change_sigmas": -1.0}, "on", half(1)),
    Case("unwound at four times the change", "deleveraging", UNWOUND | {"oi_change_sigmas": -2.0}, "on", half(1.5)),
    Case("a fall, no change", "deleveraging", UNWOUND | {"divergence": "neutral"}, "off", 0.0),
    Case("no fall", "bought_dip", DIPPED | {"divergence": "none"}, "off", 0.0),
    Case(
        "no price", "bought_dip",
        {"divergence": "unknown", "oi_base_reported": 8.0}, "unknown", None, "missing price",
    ),
    Case(
        "as calm as the median", "healthy_funding",
        {"healthy_market": "on", "rate_8h": 0.00005, "rate_8h_sd_30d_percentile": 50.0}, "on", 0.01,
    ),
    Case(
        "the calmest of the year", "healthy_funding",
        {"healthy_market": "on", "rate_8h": 0.00005, "rate_8h_sd_30d_percentile": 0.0}, "on", 1.0,
    ),
    Case(
        "a day without rates", "healthy_funding",
        {"healthy_market": "on", "rate_8h_mean_7d": 0.00005}, "on", 0.01,
    ),
    Case("no funding", "healthy_funding", {"healthy_market": "unknown"}, "unknown", None, "missing funding"),
    Case(
        "under a year", "healthy_funding",
        {"healthy_market": "unknown", "rate_8h": 0.0}, "unknown", None, "window not full",
    ),
    Case(
        "in the middle", "funding_normalization",
        {"normalization": "on", "excess_rate_8h_at_close": 0.0, "excess_rate_percentile_90d": 50.0}, "on", 1.0,
    ),
    Case(
        "just inside", "funding_normalization",
        {"normalization": "on", "excess_rate_8h_at_close": 0.0, "excess_rate_percentile_90d": 90.0}, "on", 0.01,
    ),
    Case(
        "half way in", "funding_normalization",
        {"normalization": "on", "excess_rate_8h_at_close": 0.0, "excess_rate_percentile_90d": 30.0}, "on", half(1),
    ),
    Case(
        "still extreme", "funding_normalization",
        {"normalization": "off", "excess_rate_8h_at_close": 0.0, "excess_rate_percentile_90d": 99.0}, "off", 0.0,
    ),
    Case(
        "inside a zone", "dense_liquidation_zone",
        {"zone_state": "inside", "zone_distance": 0.0, "zone_days_known": 90}, "on", 1.0,
    ),
    Case(
        "half way to a zone", "dense_liquidation_zone",
        {"zone_state": "near", "zone_distance": 0.01, "zone_days_known": 90}, "on", half(1),
    ),
    Case(
        "2% away", "dense_liquidation_zone",
        {"zone_state": "outside", "zone_distance": 0.02, "zone_days_known": 90}, "off", 0.0,
    ),
    Case("a map without zones", "dense_liquidation_zone", {"zone_state": "outside", "zone_days_known": 90}, "off", 0.0),
    Case(
        "a map with holes", "dense_liquidation_zone", {"zone_state": "unknown", "zone_days_known": 89, "zone_close_usd": 2.0},
        "unknown", None, "window not full",
    ),
    Case(
        "no map, no close", "dense_liquidation_zone",
        {"zone_state": "unknown"}, "unknown", None, "missing liquidations, price",
    ),
    Case(
        "the weaker of two", "capitulation",
        CROWD | {"capitulation": "on", "put_call_oi_percentile_90d": 95.0, "account_long_share_percentile_90d": 77.5},
        "on", half(0.5),
    ),
    Case(
        "open interest grew", "capitulation",
        CROWD | {"capitulation": "off", "put_call_oi_percentile_90d": 95.0, "account_long_share_percentile_90d": 99.0}, "off", 0.0,
    ),
    Case(
        "no options", "capitulation", CROWD | {"capitulation": "unknown", "put_call_oi_ratio": None},
        "unknown", None, "missing options",
    ),
    Case(
        "too small a market", "capitulation", CROWD | {"capitulation": "unknown", "oi_compared_share_7d": 0.25},
        "unknown", None, "too few venues compared",
    ),
    Case(
        "high and low", "upside_setup",
        GRID | {"oi_zscore_90d_percentile": 100.0, "excess_rate_percentile_90d": 15.0}, "on", half(0.5),
    ),
    Case(
        "in the corner", "upside_setup",
        GRID | {"oi_zscore_90d_percentile": 80.0, "excess_rate_percentile_90d": 20.0}, "on", 0.01,
    ),
    Case(
        "off the corner", "upside_setup",
        GRID | {"oi_zscore_90d_percentile": 79.0, "excess_rate_percentile_90d": 0.0}, "off", 0.0,
    ),
    Case(
        "no funding", "upside_setup",
        {"oi_base_reported": 8.0, "oi_zscore_90d_percentile": 99.0}, "unknown", None, "missing funding",
    ),
    Case(
        "high and high", "top_risk",
        GRID | {"oi_zscore_90d_percentile": 90.0, "excess_rate_percentile_90d": 100.0}, "on", half(1),
    ),
    Case(
        "not low", "bottom_zone",
        GRID | {"oi_zscore_90d_percentile": 90.0, "excess_rate_percentile_90d": 100.0}, "off", 0.0,
    ),
    Case(
        "low and low", "bottom_zone",
        GRID | {"oi_zscore_90d_percentile": 10.0, "excess_rate_percentile_90d": 0.0}, "on", half(1),
    ),
    Case("a chase", "top_risk", GRID | {"oi_zscore_90d_percentile": 10.0, "excess_rate_percentile_90d": 90.0}, "off", 0.0),
    Case("under 180 days", "top_risk", GRID | {"excess_rate_percentile_90d": 90.0}, "unknown", None, "window not full"),
    Case(
        "the highest rate", "extreme_positive_funding",
        {"regime": "extreme_positive", "excess_rate_8h_at_close": 0.001, "excess_rate_percentile_90d": 100.0}, "on", 1.0,
    ),
    Case(
        "as it begins", "extreme_positive_funding",
        {"regime": "extreme_positive", "excess_rate_8h_at_close": 0.001, "excess_rate_percentile_90d": 97.5}, "on", half(1.5),
    ),
    Case(
        "held by hysteresis", "extreme_positive_funding",
        {"regime": "extreme_positive", "excess_rate_8h_at_close": 0.001, "excess_rate_percentile_90d": 95.0}, "on", half(1),
    ),
    Case(
        "about to end", "extreme_positive_funding",
        {"regime": "extreme_positive", "excess_rate_8h_at_close": 0.001, "excess_rate_percentile_90d": 80.0}, "on", 0.01,
    ),
    Case(
        "three quarters down", "extreme_negative_funding",
        {"regime": "extreme_negative", "excess_rate_8h_at_close": -0.001, "excess_rate_percentile_90d": 2.5}, "on", half(1.5),
    ),
    Case(
        "the other extreme", "extreme_negative_funding",
        {"regime": "extreme_positive", "excess_rate_8h_at_close": 0.001, "excess_rate_percentile_90d": 100.0}, "off", 0.0,
    ),
    Case("no rates", "extreme_negative_funding", {"regime": "unknown"}, "unknown", None, "missing funding"),
    Case(
        "twice the border", "large_liquidations",
        {"cascade": "on", "liquidated_usd": 9.0, "cascade_border_excess": 0.5}, "on", half(1),
    ),
    Case("just above it", "large_liquidations", {"cascade": "on", "liquidated_usd": 9.0, "cascade_border_excess": 0.0}, "on", 0.01),
    Case("no feed", "large_liquidations", {"cascade": "unknown"}, "unknown", None, "missing liquidations"),
    Case(
        "at 72", "systemic_risk",
        {"oi_usd_chain_linked": 1.0, "oi_hhi_chain_linked": 1.0, "oi_to_volume": 1.0, "systemic_risk_score": 72.0}, "on", 0.01,
    ),
    Case("half way to 100", "systemic_risk", {"oi_usd_chain_linked": 1.0, "systemic_risk_score": 86.0}, "on", half(1)),
    Case("below 72", "systemic_risk", {"oi_usd_chain_linked": 1.0, "systemic_risk_score": 71.0}, "off", 0.0),
    Case(
        "no volume", "systemic_risk",
        {"oi_usd_chain_linked": 1.0, "oi_hhi_chain_linked": 1.0}, "unknown", None, "missing volume",
    ),
    Case(
        "volume of a minority", "systemic_risk",
        {"oi_usd_chain_linked": 1.0, "oi_hhi_chain_linked": 1.0, "oi_to_volume": 1.0, "oi_to_volume_oi_share": 0.25},
        "unknown", None, "too few venues with volume",
    ),
    Case(
        "long as never", "long_crowded",
        {"positioning_extreme": "long_crowded", "account_long_share": 0.7, "account_long_share_percentile_90d": 100.0}, "on", 1.0,
    ),
    Case(
        "at 2.5", "short_crowded",
        {"positioning_extreme": "short_crowded", "account_long_share": 0.3, "account_long_share_percentile_90d": 2.5}, "on", 0.01,
    ),
    Case(
        "short as never", "short_crowded",
        {"positioning_extreme": "short_crowded", "account_long_share": 0.3, "account_long_share_percentile_90d": 0.0}, "on", 1.0,
    ),
    Case(
        "not short", "short_crowded",
        {"positioning_extreme": "none", "account_long_share": 0.5, "account_long_share_percentile_90d": 50.0}, "off", 0.0,
    ),
    Case(
        "no ratio", "long_crowded",
        {"positioning_extreme": "unknown"}, "unknown", None, "missing long/short ratio",
    ),
    Case("loans lead by 1", "lending_stress", STRESSED | {"lending_zscore_lead": 1.0}, "on", 0.01),
    Case("loans lead by 2", "lending_stress", STRESSED | {"lending_zscore_lead": 2.0}, "on", half(1)),
    Case(
        "exchanges are only quieter", "lending_stress",
        STRESSED | {"lending_zscore_90d": -0.5, "lending_zscore_lead": 2.0}, "off", 0.0,
    ),
    Case(
        "no loans", "lending_stress",
        {"exchange_position_notional_usd": 1.0}, "unknown", None, "missing lending liquidations",
    ),
    Case("loans never seized", "lending_stress", CHAIN, "unknown", None, "window not full or without spread"),
    Case(
        "a DEX leads by 4", "perp_dex_stress", DEX | {"perp_dex_zscore_90d": 1.5, "perp_dex_zscore_lead": 4.0}, "on", half(1.5),
    ),
]  # fmt: skip

STATE_COLUMNS = (
    "expansion", "expansion_confirmed", "divergence", "healthy_market", "normalization", "regime", "capitulation",
    "positioning_extreme", "zone_state", "cascade",
)  # fmt: skip


def grid_cell(row: Row) -> str:
    """Of the days by hand; what the model makes of percentiles is compared on the invented market."""
    oi, funding = row.get("oi_zscore_90d_percentile"), row.get("excess_rate_percentile_90d")
    if oi is None or funding is None:
        return "unknown"
    sides = (
        "high" if oi >= 80 else "low" if oi <= 20 else "",
        "high" if funding >= 80 else "low" if funding <= 20 else "",
    )
    cells = {"high high": "top_risk", "low low": "bottom_zone", "high low": "upside_setup", "low high": "chase"}
    return cells.get(" ".join(sides), "none")


@pytest.fixture(scope="module")
def by_hand(build: Build, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Keyed]:
    """The marts on the days of CASES; the asset of a day is the number of its case."""
    database = tmp_path_factory.mktemp("by_hand") / "leverhouse.duckdb"
    signal_world.write(MarketModel({table: [] for table in signal_world.TABLES}), database)
    steps = {relation.split(".")[-1].strip('"'): (relation, select) for relation, select in build.steps}
    with duckdb.connect(str(database)) as connection:
        # The long forms first, and last their pivot, which the signals read.
        for model in reversed(INPUT_MODELS):
            relation, select = steps.pop(model)
            connection.execute(f"create table {relation} as {select}")
        for number, case in enumerate(CASES):
            row: Row = {**dict.fromkeys(STATE_COLUMNS, "unknown"), **case.day}
            row |= {"asset": str(number), "trade_date": day(0), "grid_cell": grid_cell(case.day)}
            row |= {
                f"{group}_available_at": known_after(day(0))
                for group in (
                    "oi",
                    "funding",
                    "positioning",
                    "options",
                    "leverage",
                    "lending",
                    "perp_dex",
                    "zones",
                    "liquidations",
                )
            }
            connection.execute(
                f"insert into {relation} ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values())
            )
    return build_in(database, tuple(steps[name] for name in ("dim_signal", "signals_daily", "signal_matrix_daily")))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{case.signal}: {case.says}" for case in CASES])
def test_a_day_worked_out_by_hand(by_hand: dict[str, Keyed], number: int) -> None:
    case = CASES[number]
    row = by_hand["signals_daily"][str(number), day(0), case.signal]
    strength = None if case.strength is None else pytest.approx(case.strength, rel=1e-12)
    assert (row["state"], row["strength"], row["unknown_reason"]) == (case.state, strength, case.reason)


def test_inputs_are_named_and_counted_and_coverage_is_the_poorest(build: Build, by_hand: dict[str, Keyed]) -> None:
    number = next(n for n, case in enumerate(CASES) if case.reason == "missing options")
    row = by_hand["signals_daily"][str(number), day(0), "capitulation"]
    assert (row["inputs"], row["inputs_known"], row["inputs_expected"]) == (
        "options,long/short ratio,open interest", 2, 3,
    )  # fmt: skip
    tables = ("marts.positioning_divergence_daily", "marts.options_structure_daily")
    shares = [
        {row["trade_date"]: row["venue_share"] for row in build.world.tables[table] if row["asset"] == "AAA"}
        for table in tables
    ]
    for (asset, date, signal), row in build.marts["signals_daily"].items():
        if (asset, signal) == ("AAA", "capitulation"):
            told = [known[date] for known in shares if known.get(date) is not None]
            assert row["venue_share"] == min(told, default=None)


def test_the_seed_names_the_models_that_signals_are_read_from(build: Build) -> None:
    named = {mart for row in SEED for mart in row["input_marts"].split(",")}
    # The calendar is everywhere, and when a day of liquidations was known is no input of its own.
    assert named == build.parents - {"int_calendar", "int_liquidation_days"}


CONDITIONS = {
    "oi_expansion": (
        "growth of open interest since the day before >= 0.08, and absolute log return of the day <= 0.5 sigma30",
        (
            "Growth of open interest since the day before is at least 0.08, and absolute log return of the day is at most "
            "0.5 sigma30"
        ),
    ),
    "oi_expansion_confirmed": (
        "base volume of the day >= its 0.8 quantile in the 30 days before, and oi_expansion is on",
        "Base volume of the day is at least its 0.8 quantile in the 30 days before, and oi_expansion is on",
    ),
    "deleveraging": (
        "log change of open interest since the day before < -0.5 sigma_oi, and log return of the day <= -1 sigma30",
        (
            "Log change of open interest since the day before is below -0.5 sigma_oi, and log return of the day is at most "
            "-1 sigma30"
        ),
    ),
    "extreme_negative_funding": (
        (
            "percentile of the excess rate among the 90 days before <= 2.5, and excess rate per 8 h < -0.00001, 3 times in a "
            "row; it ends when another regime comes 3 times in a row and none of them has percentile of the excess rate among "
            "the 90 days before <= 10"
        ),
        (
            "Percentile of the excess rate among the 90 days before is at most 2.5, and excess rate per 8 h is below -0.00001, "
            "3 times in a row; it ends when another regime comes 3 times in a row and none of them has percentile of the "
            "excess rate among the 90 days before <= 10"
        ),
    ),
    "large_liquidations": (
        (
            "liquidated notional of the day > its 0.975 quantile in the 90 days before, or number of cascades by the minute "
            "(where single liquidations are known) > 0"
        ),
        (
            "Liquidated notional of the day is above its 0.975 quantile in the 90 days before, or number of cascades by the "
            "minute (where single liquidations are known) is above 0"
        ),
    ),
}


def test_a_condition_is_told_as_it_is_judged(build: Build) -> None:
    """One definition makes the SQL and both texts: a row's with signs, the dimension's in words."""
    with duckdb.connect(str(build.database), read_only=True) as connection:
        sentences = dict(connection.execute("select signal, condition_description from marts.dim_signal").fetchall())
    conditions = {signal: row["condition"] for (_, _, signal), row in build.marts["signals_daily"].items()}
    assert {signal: (conditions[signal], sentences[signal]) for signal in CONDITIONS} == CONDITIONS
    assert sentences.keys() == conditions.keys() == DIRECTIONS.keys()
    wordless = [signal for signal, text in conditions.items() if not text or "{" in text or "None" in text]
    assert wordless == []


# On an invented market.


def differs(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return not abs(left - right) <= TOLERANCE * max(1.0, abs(left), abs(right))
    return bool(left != right)


def differences(rows: Keyed, expected: Mapping[Any, Row]) -> list[tuple[Any, str, Any, Any]]:
    return [
        (key, column, rows[key][column], value)
        for key, row in expected.items()
        for column, value in row.items()
        if differs(rows[key][column], value)
    ]


def test_signals_and_their_combination_agree_with_an_independent_computation(build: Build) -> None:
    expected = signal_reference.signals(build.world, DIRECTIONS)
    assert build.marts["signals_daily"].keys() == expected.keys()
    assert differences(build.marts["signals_daily"], expected) == []
    combined = signal_reference.matrix(expected, DIRECTIONS)
    assert build.marts["signal_matrix_daily"].keys() == combined.keys()
    assert differences(build.marts["signal_matrix_daily"], combined) == []


@pytest.mark.parametrize("signal", DIRECTIONS)
def test_the_invented_market_reaches_every_state(build: Build, signal: str) -> None:
    """What the market never does, the comparison with the independent computation could not notice."""
    rows = [row for (_, _, name), row in build.marts["signals_daily"].items() if name == signal]
    assert {row["state"] for row in rows} == {"on", "off", "unknown"}
    strengths = {row["strength"] for row in rows if row["state"] == "on"}
    assert min(strengths) > 0, "what is on has a strength"
    assert 0.01 < max(strengths) <= 1


def test_every_cell_of_the_grid_is_reached(build: Build) -> None:
    cells = {row["grid_cell"] for row in build.marts["signal_matrix_daily"].values()}
    assert cells == {"top_risk", "bottom_zone", "upside_setup", "chase", "none", "unknown"}


@pytest.mark.parametrize("cut", CUTS)
def test_history_reads_the_same_when_later_days_do_not_exist_yet(build: Build, tmp_path: Path, cut: int) -> None:
    database = tmp_path / "leverhouse.duckdb"
    signal_world.write(build.world.until(day(cut)), database)
    for name, then in build_in(database, build.steps).items():
        now = {key: row for key, row in build.marts[name].items() if key[1] <= day(cut)}
        # A day on which every mart is silent is seen as a gap only when a later day exists.
        assert then.keys() == now.keys()
        assert len(then) > cut
        assert differences(now, then) == []


def test_a_row_that_came_late_delays_the_signals_that_rest_on_it_and_no_other(build: Build) -> None:
    rows = build.marts["signals_daily"]
    late = known_after(day(150)) + dt.timedelta(days=4)
    assert [rows["AAA", day(n), "systemic_risk"]["available_at"] for n in (149, 150, 153, 155)] == [
        known_after(day(149)), late, late, known_after(day(155)),
    ]  # fmt: skip
    assert rows["AAA", day(150), "oi_expansion"]["available_at"] == known_after(day(150))
    assert build.marts["signal_matrix_daily"]["AAA", day(151)]["available_at"] == late
