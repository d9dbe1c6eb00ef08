"""For any file content and CSV style, every line becomes a row or a reject, and values are unchanged."""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.core.universe import asset_unit, canonical_asset, is_safe_symbol
from pipelines.sources.chain.evm.aave import LIQUIDATION_CALL
from pipelines.sources.chain.evm.abi import decode_logs
from pipelines.sources.files import text_blocks
from pipelines.sources.files.mapping import Time
from pipelines.sources.files.times import to_instants
from tests.unit.files_fixture import LONG, parse_content

SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

number = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
stamp = st.datetimes(min_value=datetime(2010, 1, 1), max_value=datetime(2099, 1, 1)).map(
    lambda t: t.replace(microsecond=0)
)
anything = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@contextmanager
def blocks_of(size: int) -> Iterator[None]:
    default_bytes = text_blocks.BLOCK_BYTES
    text_blocks.BLOCK_BYTES = size  # type: ignore[misc]
    try:
        yield
    finally:
        text_blocks.BLOCK_BYTES = default_bytes  # type: ignore[misc]


def written(rows: list[list[str]], *, line_end: str, quoting: int, mark: bool, compressed: bool) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["symbol", "time", "oi", "value"])
    writer.writerows(rows)
    content = (b"\xef\xbb\xbf" if mark else b"") + buffer.getvalue().encode()
    return gzip.compress(content) if compressed else content


@SLOW
@given(
    rows=st.lists(st.tuples(stamp, number, number), min_size=1, max_size=40),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    mark=st.booleans(),
    compressed=st.booleans(),
    block=st.sampled_from([64, 200, 1 << 20]),
)
def test_values_and_line_numbers_do_not_depend_on_how_the_csv_is_written(
    rows: list[tuple[datetime, float, float]], line_end: str, quoting: int, mark: bool, compressed: bool, block: int
) -> None:
    cells = [["BTCUSDT", f"{at:%Y-%m-%d %H:%M:%S}", repr(oi), repr(value)] for at, oi, value in rows]
    content = written(cells, line_end=line_end, quoting=quoting, mark=mark, compressed=compressed)
    with tempfile.TemporaryDirectory() as folder, blocks_of(block):
        parsed = parse_content(Path(folder), content)
    found = parsed.rows["open_interest"]
    assert found["_line"].to_list() == list(range(2, len(rows) + 2))
    assert list(zip(found["event_at"], found["oi_base"], found["oi_usd"], strict=True)) == rows
    assert parsed.only_rejects().is_empty()


@SLOW
@given(
    rows=st.lists(st.lists(anything, min_size=2, max_size=6), min_size=1, max_size=30),
    block=st.sampled_from([64, 1 << 20]),
)
def test_every_line_of_garbage_is_either_accepted_or_rejected(rows: list[list[str]], block: int) -> None:
    closing = ["BTCUSDT", "2024-01-01 00:00:00", "1", "1"]  # so that the last line is not truncated
    content = written([*rows, closing], line_end="\n", quoting=csv.QUOTE_ALL, mark=False, compressed=False)
    with tempfile.TemporaryDirectory() as folder, blocks_of(block):
        parsed = parse_content(Path(folder), content)
    accepted = parsed.rows["open_interest"]["_line"].to_list()
    rejected = parsed.only_rejects()["line"].to_list()
    assert len(accepted) + len(rejected) == len(rows) + 1
    assert not set(accepted) & set(rejected)
    assert len(set(rejected)) == len(rejected)


@SLOW
@given(name=anything)
def test_no_name_reaches_the_clean_tables_unless_it_is_safe(name: str) -> None:
    text = LONG.replace("'(?P<base>[A-Z0-9]+)USDT'", "'(?P<base>(?s:.*))'").replace('"{base}USDT"', '"{base}"')
    content = written(
        [[name, "2024-01-01 00:00:00", "1", "1"]], line_end="\n", quoting=csv.QUOTE_ALL, mark=False, compressed=False
    )
    with tempfile.TemporaryDirectory() as folder:
        parsed = parse_content(Path(folder), content, text=text)
    names = parsed.rows["open_interest"]["instrument"].to_list()
    assert names == ([name] if is_safe_symbol(name) else [])
    assert parsed.only_rejects().height == 1 - len(names)


@given(
    instant=st.datetimes(min_value=datetime(2010, 1, 1), max_value=datetime(2099, 1, 1)),
    zone=st.sampled_from(["Europe/London", "America/New_York", "Asia/Hong_Kong", "Australia/Lord_Howe", "UTC"]),
)
def test_a_local_time_is_converted_to_the_instant_it_came_from(instant: datetime, zone: str) -> None:
    local = instant.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    cell = f"{local:%Y-%m-%d %H:%M:%S.%f}"
    time = Time.model_validate(
        {"column": "t", "format": "iso", "zone": zone, "ambiguous": "latest" if local.fold else "earliest"}
    )
    assert to_instants(pl.Series("t", [cell]), time).to_list() == [instant]


@given(instant=st.datetimes(min_value=datetime(2010, 1, 1), max_value=datetime(2099, 1, 1)), hours=st.integers(-14, 14))
def test_an_iso_text_with_an_offset_needs_no_zone(instant: datetime, hours: int) -> None:
    cell = f"{instant.isoformat(timespec='microseconds')}{hours:+03d}:00"
    found = to_instants(pl.Series("t", [cell]), Time(column="t", format=("iso",))).to_list()
    assert found == [instant - timedelta(hours=hours)]


@given(st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=20))
def test_any_uint256_decodes_to_its_decimal_text(values: list[int]) -> None:
    address = "0x" + "00" * 32
    logs = pl.DataFrame(
        {
            "address": ["0x" + "ab" * 20] * len(values),
            "topics": [f'["{LIQUIDATION_CALL.topic0}","{address}","{address}","{address}"]'] * len(values),
            "data": [f"0x{value:064x}{value:064x}{'0' * 128}" for value in values],
            "blockNumber": ["0x1"] * len(values),
            "transactionHash": ["0x" + "cd" * 32] * len(values),
            "logIndex": ["0x0"] * len(values),
        }
    )
    decoded = decode_logs(logs, LIQUIDATION_CALL)
    assert decoded["debt_to_cover"].to_list() == [str(value) for value in values]
    assert decoded["undecodable"].null_count() == len(values)


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789k", min_size=1, max_size=12))
def test_the_canonical_asset_of_an_asset_is_itself(base: str) -> None:
    unit = asset_unit(base)
    assert unit.multiplier in {1, 1e3, 1e4, 1e5, 1e6}
    assert canonical_asset(unit.asset) == unit.asset
