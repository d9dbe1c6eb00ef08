"""Inputs that are small or ordinary by size take neither the memory nor the writer lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.bombs import ANSWERS, BOMBS, PACKS, measure

pytestmark = pytest.mark.slow

MEMORY = 1_000_000_000
PROCESSOR_SECONDS = 30.0
LOCK_SECONDS = 2.0
"""Of processor: how long another command waits by the clock depends on what else the machine does."""

LOADED = {"150 MB list of records": 1_600_050, **{name: count * (44 * 200 + 1) for name, count in PACKS.items()}}
"""No bombs but ordinary large inputs, with their rows: what they hold is inserted while the lock is held."""


@pytest.mark.parametrize("name", [*BOMBS, *ANSWERS, *PACKS])
def test_a_bomb_is_bounded(name: str, tmp_path: Path) -> None:
    found = measure(name, tmp_path)
    assert 0 < found.peak < MEMORY, found
    assert found.processor < PROCESSOR_SECONDS, found
    if name in LOADED:
        assert found.ended == f"loaded {LOADED[name]:,} rows"
    else:
        assert found.held < LOCK_SECONDS, found
