"""Whatever a venue answers, it is read in full or it is unreadable: no error without a type, no record lost, nothing empty that had
records. `make fuzz` runs the random part without end.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from functools import partial
from typing import Final

import pytest
from polars.testing import assert_frame_equal

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Page
from pipelines.sources.reading import LONGEST_AHEAD
from pipelines.sources.records import FIRST_TIME
from tests.sources.chain_cases import CHAIN_CASES
from tests.sources.fuzz_fixture import (
    FEEDS,
    FORMS,
    ODD,
    SHAPES,
    STAMPS,
    Read,
    answers,
    changed,
    contract,
    mutated,
    read,
    reader,
)

EXAMPLES: Final = 4
"""Random faults of a feed in the usual suite; each is made from its number alone."""

WITHOUT_IDS: Final = frozenset({"bitget.liquidations", "gate.liq_orders", "okx.liquidations", "orderly.liquidations"})
"""Feeds whose events have no id: two that are equal are two events."""

FOUND: Final[tuple[tuple[str, int], ...]] = ()
"""Faults that were found: source and number. They stay fixed."""


def check(source: str, pages: list[Page]) -> Read | None:
    """What is made of pages, None if they are unreadable; checks what holds for any bytes."""
    fuzzed = FEEDS[source]
    found = reader(source).unreadable(pages, fuzzed.span, fuzzed.now)
    assert all(isinstance(error, SourceFormatError) for error in found.values())
    assert set(found) <= {page.subject for page in pages}
    if found:
        return None
    try:
        made = read(source, pages)
    except SourceFormatError:
        # Of a file whose checksum was compared, only the beginning is read when it is fetched.
        assert fuzzed.feed.sample is not None
        return None
    counts = made.counts
    assert counts.unnamed == 0
    assert counts.received >= counts.accepted + counts.rejected
    for name, rows in made.rows.items():
        table = contract().table(name)
        if table.day_column and not table.merge and rows.height:
            assert rows[table.day_column].is_between(FIRST_TIME, fuzzed.now + LONGEST_AHEAD).all(ignore_nulls=True)
    return made


@pytest.mark.parametrize("source", FEEDS)
def test_an_answer_of_another_shape_is_unreadable_and_not_empty(source: str) -> None:
    pages = list(answers(source))
    good = check(source, pages)
    assert good is not None
    rows = sum(frame.height for frame in good.rows.values())
    assert rows > 0
    chance = random.Random(source)
    for name, mutation in {**SHAPES, **STAMPS, **ODD}.items():
        bad = changed(pages, partial(mutation, chance))
        if [page.body for page in bad] == [page.body for page in pages]:
            continue
        made = check(source, bad)
        if name in SHAPES:
            assert made is None, name
        elif made is not None and name in STAMPS:
            # A stamp that the feed does not need, or reads in both units.
            assert sum(frame.height for frame in made.rows.values()) + made.rejects > 0, name
        elif made is not None and name == "doubled" and source not in WITHOUT_IDS:
            assert {table: frame.height for table, frame in made.rows.items()} == {
                table: frame.height for table, frame in good.rows.items()
            }


TOGETHER_ONLY: Final = {"hyperliquid.risk_tiers": "odd records among the others"}
"""An exchange without its perpetuals is no odd record: all of its tiers would be missing."""


IN_JSON: Final = [name for name in FEEDS if name not in CHAIN_CASES and "archive" not in name]


@pytest.mark.parametrize("source", IN_JSON)
def test_another_form_of_the_same_values_gives_the_same_rows(source: str) -> None:
    pages = list(answers(source))
    good = check(source, pages)
    assert good is not None
    for name, mutation in FORMS.items():
        if TOGETHER_ONLY.get(source) == name:
            continue
        made = check(source, changed(pages, partial(mutation, random.Random(0))))
        assert made is not None, name
        for table, frame in good.rows.items():
            # Venues without ids of events: theirs are made of the texts that describe them.
            compared = [column for column in frame.columns if column != "liquidation_id"]
            assert_frame_equal(
                made.rows[table].select(compared), frame.select(compared), check_row_order=False, check_exact=True
            )


def one_fault(source: str, number: int) -> None:
    """The random fault `number` of a feed's answer."""
    chance = random.Random(f"{source} {number}")
    pages = list(answers(source))
    at = chance.randrange(len(pages))
    pages[at : at + 1] = changed(pages[at : at + 1], partial(mutated, chance))
    check(source, pages)


@pytest.mark.parametrize("source", FEEDS)
def test_random_faults_lose_no_record_and_raise_nothing_without_a_type(source: str) -> None:
    found = [number for found_in, number in FOUND if found_in == source]
    for number in (*range(EXAMPLES), *found):
        one_fault(source, number)


@pytest.mark.fuzz
@pytest.mark.timeout(0)
def test_random_faults_without_end() -> None:
    """Runs for LEVERHOUSE_FUZZ_SECONDS, or until it is stopped or finds a fault, whose source and number go into FOUND."""
    seconds = float(os.environ.get("LEVERHOUSE_FUZZ_SECONDS", "inf"))
    ends = time.monotonic() + seconds
    for number in itertools.count(random.SystemRandom().randrange(1 << 40)):
        for source in FEEDS:
            if time.monotonic() > ends:
                return
            try:
                one_fault(source, number)
            except BaseException as error:
                error.add_note(f"({source!r}, {number})")
                raise
