"""The published schema keeps what its version promises: docs/connect.md says what may change in which release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.contract.ddl import load_contract
from pipelines.contract.versions import SCHEMA_VERSION
from pipelines.core.settings import PROJECT_ROOT
from scripts.published_columns import Column, added, breaking, columns_of, may_add, may_break, read, released

USD = Column("double", "", "false", "usd", "stock")
KEY = Column("string", "1", "true", "text", "state")
BEFORE = {("marts.a", "asset"): KEY, ("marts.a", "oi_usd"): USD}


def test_what_readers_of_the_last_release_rely_on_is_still_there(parsed: Path) -> None:
    version, before = read(released())
    contract = load_contract(PROJECT_ROOT / "warehouse" / "schema")
    now = columns_of(json.loads(parsed.read_bytes()), contract)
    broken, came = breaking(before, now), added(before, now)
    next_step = "Keep it, or raise SCHEMA_VERSION as docs/connect.md says, with a line in CHANGELOG.md."
    assert may_break(version, SCHEMA_VERSION) or not broken, "\n".join([*broken, next_step])
    assert may_add(version, SCHEMA_VERSION) or not came, "\n".join([*came, next_step])


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (BEFORE | {("marts.a", "oi_usd"): USD._replace(unit="base")}, ["marts.a.oi_usd: unit usd became base"]),
        (BEFORE | {("marts.a", "oi_usd"): USD._replace(type="float")}, ["marts.a.oi_usd: type double became float"]),
        (BEFORE | {("marts.a", "oi_usd"): USD._replace(is_required="true")}, []),
        (
            BEFORE | {("marts.a", "asset"): KEY._replace(is_required="false")},
            ["marts.a.asset: is_required true became false"],
        ),
        (BEFORE | {("marts.a", "venue"): KEY._replace(key_position="2")}, ["marts.a: venue became part of the key"]),
        (BEFORE | {("marts.a", "venue"): KEY._replace(key_position="")}, []),
        ({("marts.a", "asset"): KEY}, ["marts.a.oi_usd is gone"]),
    ],
)
def test_a_change_that_breaks_a_query_is_told_from_one_that_does_not(
    now: dict[tuple[str, str], Column], told: list[str]
) -> None:
    assert breaking(BEFORE, now) == told


@pytest.mark.parametrize(
    ("before", "now", "breaks", "adds"),
    [("0.1", "0.1", False, True), ("0.1", "0.2", True, True), ("0.9", "0.10", True, True), ("1.2", "1.3", False, True),
     ("1.2", "1.2", False, False), ("1.2", "2.0", True, True)],
)  # fmt: skip
def test_the_version_says_what_changed(before: str, now: str, breaks: bool, adds: bool) -> None:
    assert (may_break(before, now), may_add(before, now)) == (breaks, adds)
