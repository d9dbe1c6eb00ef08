"""Packs: pages are read back as received, and equal responses have equal digests, whatever their time and order."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import LandingError
from pipelines.extract.pack import INDEX, Pack, PackWriter
from pipelines.extract.venue import Page

AT = datetime(2024, 3, 1, 12)


def page_of(subject: str, body: bytes, *, at: datetime = AT, **params: str) -> Page:
    return Page(subject, {"method": "GET", "endpoint": "api", "path": "/x", "params": params}, 200, at, body)


def written(pages: Sequence[Page], ignored_in_digest: re.Pattern[bytes] | None = None) -> tuple[bytes, str]:
    """The bytes of a pack and its digest."""
    sink = io.BytesIO()
    writer = PackWriter(sink, ignored_in_digest)
    for page in pages:
        writer.add(page)
    digest = writer.close()
    return sink.getvalue(), digest


def read(folder: Path, content: bytes, subjects: Sequence[str] | None = None) -> list[Page]:
    path = folder / "pack"
    path.write_bytes(content)
    return list(Pack(path).pages(subjects))


SERIES = {subject: [page_of(subject, f"{subject} {n}".encode(), n=str(n)) for n in range(3)] for subject in "ABC"}
IN_ORDER = [page for pages in SERIES.values() for page in pages]


@given(order=st.permutations([subject for subject in SERIES for _ in range(3)]))
def test_interleaved_subjects_are_read_in_order_with_the_same_digest(
    order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    remaining = {subject: iter(pages) for subject, pages in SERIES.items()}
    content, digest = written([next(remaining[subject]) for subject in order])
    assert read(tmp_path_factory.mktemp("pack"), content) == IN_ORDER
    assert digest == written(IN_ORDER)[1]


def test_the_digest_does_not_depend_on_the_time_of_receipt() -> None:
    later = [replace(page, received_at=AT + timedelta(days=1)) for page in IN_ORDER]
    assert written(later)[1] == written(IN_ORDER)[1]
    assert written(later)[0] != written(IN_ORDER)[0]


def test_the_digest_is_stable_across_releases() -> None:
    """A changed digest would make a new version of every landing that is fetched again."""
    assert written(IN_ORDER)[1] == "8d2304f95b7c9acf31b71a05bf0b07d8af99b17b89682063fc422480a3b44a23"


def test_equal_responses_give_equal_bytes() -> None:
    assert written(IN_ORDER)[0] == written(IN_ORDER)[0]


def test_a_pack_is_a_zip_that_other_tools_read_and_write(tmp_path: Path) -> None:
    content, _ = written(IN_ORDER)
    other = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as reader, zipfile.ZipFile(other, "w", zipfile.ZIP_DEFLATED) as writer:
        assert reader.testzip() is None
        assert {member.external_attr >> 16 for member in reader.infolist()} == {0o600}
        for name in reader.namelist():
            writer.writestr(name, reader.read(name), compresslevel=9)
    assert read(tmp_path, other.getvalue()) == IN_ORDER


@pytest.mark.parametrize(
    "other",
    [
        page_of("A", b"something else", n="0"),
        page_of("A", b"A 0", n="other question"),
        page_of("Z", b"A 0", n="0"),
        replace(page_of("A", b"A 0", n="0"), status=404),
    ],
    ids=["body", "request", "subject", "status"],
)
def test_a_different_response_has_a_different_digest(other: Page) -> None:
    assert written([page_of("A", b"A 0", n="0")])[1] != written([other])[1]


def test_the_clock_of_a_venue_is_stored_and_not_compared(tmp_path: Path) -> None:
    clock = re.compile(rb',"time":\d+')
    early, late = page_of("A", b'{"rows":[1],"time":1}'), page_of("A", b'{"rows":[1],"time":2}')
    assert written([early], clock)[1] == written([late], clock)[1]
    assert written([early])[1] != written([late])[1]
    [kept] = read(tmp_path, written([late], clock)[0])
    assert kept.body == late.body


def test_only_the_pages_of_some_subjects_can_be_read(tmp_path: Path) -> None:
    assert read(tmp_path, written(IN_ORDER)[0], ["B"]) == SERIES["B"]


def test_text_is_deflated_and_an_archive_is_stored_unchanged() -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "1,2\n" * 1000)
    content, _ = written([page_of("A", inner.getvalue()), page_of("B", b"1,2\n" * 1000)])
    with zipfile.ZipFile(io.BytesIO(content)) as pack:
        kinds = [(member.filename, member.compress_type) for member in pack.infolist()]
        assert pack.read("000000") == inner.getvalue()
    assert kinds == [("000000", zipfile.ZIP_STORED), ("000001", zipfile.ZIP_DEFLATED), (INDEX, zipfile.ZIP_DEFLATED)]


def test_the_index_records_the_request_of_each_response() -> None:
    content, _ = written([page_of("A", b"{}", symbol="BTCUSDT")])
    with zipfile.ZipFile(io.BytesIO(content)) as pack:
        [entry] = [orjson.loads(line) for line in pack.read(INDEX).splitlines()]
    assert entry["request"] == {"method": "GET", "endpoint": "api", "path": "/x", "params": {"symbol": "BTCUSDT"}}
    assert (entry["received_at"], entry["status"], entry["member"]) == ("2024-03-01T12:00:00", 200, "000000")


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_damaged_pack_is_an_error_that_names_it(tmp_path: Path, cut: int) -> None:
    content, _ = written(IN_ORDER)
    with pytest.raises(LandingError, match="landing pack is damaged"):
        read(tmp_path, content[:cut])


def test_an_altered_page_is_an_error(tmp_path: Path) -> None:
    body = bytes(range(256)) * 4
    stored = b"PK\x03\x04" + body
    content, _ = written([page_of("A", stored)])
    with pytest.raises(LandingError, match="CRC"):
        read(tmp_path, content.replace(body, body[::-1]))
