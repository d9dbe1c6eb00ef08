"""What Dagster's checks say of the evidence: values on the screen, red where levels leave a rest, are worse than distance, or where
shifted signals are found too often."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.settings import Settings
from pipelines.defs.checks import LEVELS, SCORECARD, SKILL, check_false_positives, check_identity, check_skill
from pipelines.storage.warehouse import writer

ROWS = """
insert into marts.liquidation_levels_summary_daily (oi_base, in_bins_base, beyond_bins_base, swept_base, never_base)
    values (10, 4, 3, 2, 1);
insert into marts.signal_scorecard (judged_on, placebo_rejection_share) values
    ('2024-01-31', 0.5), ('2024-02-29', 0.02), ('2024-02-29', null), ('2024-02-29', 0.1);
insert into marts.liquidation_levels_skill_daily
    (asset, side, trade_date, skill_180d_vs_distance, skill_low, skill_high, skill_days, verdict) values
    ('*', 'long', '2024-01-01', -0.1, -0.2, -0.01, 180, 'worse'),
    ('*', 'long', '2024-01-02', 0.07, 0.05, 0.09, 180, 'better'),
    ('*', 'short', '2024-01-02', 0.01, -0.02, 0.03, 180, 'not_distinguishable'),
    ('BTC', 'short', '2024-01-02', -0.5, -0.6, -0.4, 180, 'worse');
"""
TABLES = ("liquidation_levels_summary_daily", "signal_scorecard", "liquidation_levels_skill_daily")


@pytest.fixture
def evidence(settings: Settings, parsed: Path) -> Settings:
    """A warehouse with the tables of evidence as their contracts promise them."""
    nodes = json.loads(parsed.read_bytes())["nodes"]
    with writer(settings, what="test") as con:
        con.execute("create schema if not exists marts")
        for name in TABLES:
            columns = nodes[f"model.leverhouse.{name}"]["columns"]
            told = ", ".join(f"{column} {facts['data_type']}" for column, facts in columns.items())
            con.execute(f"create table marts.{name} ({told})")
        con.execute(ROWS)
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
    change(evidence, "update marts.signal_scorecard set placebo_rejection_share = 0.09")
    assert not check_false_positives(evidence).passed


def test_levels_that_are_worse_than_distance_are_a_warning(evidence: Settings) -> None:
    change(evidence, "update marts.liquidation_levels_skill_daily set verdict = 'worse' where side = 'short'")
    assert not check_skill(evidence).passed


def test_nothing_known_is_no_fault(evidence: Settings) -> None:
    for table in TABLES:
        change(evidence, f"delete from marts.{table}")
    assert check_identity(evidence).passed
    assert check_false_positives(evidence).passed
    assert check_skill(evidence).passed
