"""What Dagster's checks say of the evidence: values on the screen, red where levels leave a rest, are worse than distance, or where
shifted signals are found too often."""

from __future__ import annotations

import dagster as dg
import pytest

from pipelines.core.settings import Settings
from pipelines.defs.checks import LEVELS, SCORECARD, SKILL, check_false_positives, check_identity, check_skill
from pipelines.storage.warehouse import writer

TABLES = """
create schema if not exists marts;
create table marts.liquidation_levels_summary_daily as
    select 10e0 as oi_base, 4e0 as in_bins_base, 3e0 as beyond_bins_base, 2e0 as swept_base, 1e0 as never_base;
create table marts.signal_scorecard_latest as select * from (values (0.02e0), (null), (0.1e0)) as t (placebo_rejection_share);
create table marts.liquidation_levels_skill_daily as select * from (values
    ('*', 'long', date '2024-01-01', -0.1e0, -0.2e0, -0.01e0, 180, 'worse'),
    ('*', 'long', date '2024-01-02', 0.07e0, 0.05e0, 0.09e0, 180, 'better'),
    ('*', 'short', date '2024-01-02', 0.01e0, -0.02e0, 0.03e0, 180, 'not_distinguishable'),
    ('BTC', 'short', date '2024-01-02', -0.5e0, -0.6e0, -0.4e0, 180, 'worse')
) as t (asset, side, trade_date, skill_180d_vs_distance, skill_low, skill_high, skill_days, verdict);
"""


@pytest.fixture
def evidence(settings: Settings) -> Settings:
    with writer(settings, what="test") as con:
        con.execute(TABLES)
    return settings


def change(settings: Settings, sql: str) -> None:
    with writer(settings, what="test") as con:
        con.execute(sql)


def value(check: dg.AssetCheckResult, name: str) -> object:
    found = check.metadata[name]
    return found.value if isinstance(found, dg.MetadataValue) else found


def test_what_is_right_passes_with_its_values(evidence: Settings) -> None:
    identity, shifted, skill = check_identity(evidence), check_false_positives(evidence), check_skill(evidence)
    assert (identity.asset_key, shifted.asset_key, skill.asset_key) == (LEVELS, SCORECARD, SKILL)
    assert identity.passed and shifted.passed and skill.passed
    assert value(identity, "largest_remainder") == 0
    assert value(shifted, "mean_share_below_5_percent") == pytest.approx(0.06)
    assert value(shifted, "hypotheses") == 2
    table = skill.metadata["all_assets"]
    assert isinstance(table, dg.TableMetadataValue)
    rows = [record.data for record in table.records]
    assert [row["verdict"] for row in rows] == ["better", "not_distinguishable"]
    assert (rows[0]["skill"], rows[0]["skill_low"], rows[0]["skill_high"]) == ("0.07", "0.05", "0.09")


def test_levels_that_leave_a_rest_are_an_error(evidence: Settings) -> None:
    change(evidence, "update marts.liquidation_levels_summary_daily set never_base = 1.0000001")
    check = check_identity(evidence)
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR


def test_signals_that_are_found_where_they_were_shifted_away_are_a_warning(evidence: Settings) -> None:
    change(evidence, "update marts.signal_scorecard_latest set placebo_rejection_share = 0.09")
    assert not check_false_positives(evidence).passed


def test_levels_that_are_worse_than_distance_are_a_warning(evidence: Settings) -> None:
    change(evidence, "update marts.liquidation_levels_skill_daily set verdict = 'worse' where side = 'short'")
    assert not check_skill(evidence).passed


def test_nothing_known_is_no_fault(evidence: Settings) -> None:
    for table in ("liquidation_levels_summary_daily", "signal_scorecard_latest", "liquidation_levels_skill_daily"):
        change(evidence, f"delete from marts.{table}")
    assert check_identity(evidence).passed
    assert check_false_positives(evidence).passed
    assert check_skill(evidence).passed
