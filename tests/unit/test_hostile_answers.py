"""Whatever a server sends ends as that request's failure, with a type of ours: nothing else leaves the client."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import (
    ClockError,
    LeverhouseError,
    LimitError,
    RequestRefusedError,
    SourceFormatError,
    VenueUnavailableError,
)
from pipelines.core.limits import Limits, in_force
from pipelines.extract.client import BaseUrl, RetryPolicy, open_api
from pipelines.extract.clock import (
    SteadyClock,
    VenueClock,
    check_clock,
    date_of,
    number_of,
    skew_text,
    wait_of,
)
from pipelines.extract.landing import LandingStore
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Page, Venue

NOW = datetime(2024, 3, 10, 6)
DATE = "Sun, 10 Mar 2024 06:00:00 GMT"
ONCE = RetryPolicy(attempts=1, first_wait=0.0, longest_wait=0.0, connect_seconds=2.0, total_seconds=2.0)
VENUE = Venue(
    name="v", endpoints={"api": "https://example.com"}, limits=(Limit(1000, 1.0, "weight"),), feeds=(),
    weights={"weight": "x-weight"},
)  # fmt: skip


def get(sent: Sequence[bytes], *, is_json: bool = True, retry: RetryPolicy = ONCE, now: datetime = NOW) -> Page:
    """The page of a request to a server that answers with these bytes, one after the other and the last one from then on."""
    asked = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent[min(asked, len(sent) - 1)])
        asked += 1
        writer.close()

    async def main() -> Page:
        async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
            base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with open_api(VENUE, endpoints={"api": base}, retry=retry, clock=lambda: now) as api:
                return await api.get("/x", is_json=is_json)

    return asyncio.run(main())


def answer(body: bytes = b"{}", headers: Mapping[str, str] | None = None, status: str = "200 OK") -> bytes:
    fields = {"Date": DATE, "Content-Length": str(len(body)), **(headers or {})}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode() + body


GZIP = {"Content-Encoding": "gzip"}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BROKEN = {
    "nothing": b"",
    "no HTTP": b"hello\r\n\r\n",
    "no status": b"HTTP/1.1 abc OK\r\n\r\n",
    "a status of four digits": answer(status="9999 OK"),
    "a header without a colon": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}",
    "a zero byte in a header": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\n{}",
    "a header of a megabyte": b"HTTP/1.1 200 OK\r\nX: " + b"a" * (1 << 20) + b"\r\n\r\n{}",
    "a negative length": answer(headers={"Content-Length": "-5"}),
    "a length that is no number": answer(headers={"Content-Length": "many"}),
    "less than its length": answer(b"{}", {"Content-Length": "200"}),
    "chunks of no size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunks that end early": CHUNKED + b"5\r\n{}",
    "gzip that is none": answer(b"{}", GZIP),
    "gzip cut short": answer(gzip.compress(b"[1,2,3]" * 100)[:-20], GZIP),
    "gzip with a wrong sum": answer(gzip.compress(b"[1,2,3]")[:-8] + b"\0" * 8, GZIP),
    "deflate that is none": answer(b"\xff\xff\xff", {"Content-Encoding": "deflate"}),
    "zlib cut short": answer(zlib.compress(b"[1,2,3]" * 100)[:-6], {"Content-Encoding": "deflate"}),
    "an empty body": answer(b""),
    "nan": answer(b"NaN"),
    "infinity in a list": answer(b'{"x": [1, -Infinity]}'),
    "JSON of 10,000 levels": answer(b"[" * 10_000 + b"]" * 10_000),
    "objects of 10,000 levels": answer(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    "JSON in UTF-16": answer('{"a": 1}'.encode("utf-16")),
    "half a character": answer(b'{"a": "\xc3"}'),
    "a page of HTML": answer(b"<html></html>"),
    "a redirect to nowhere": answer(b"", {"Location": "http://[::1"}, "302 Found"),
    "a date of ten days ago": answer(headers={"Date": "Thu, 29 Feb 2024 06:00:00 GMT"}),
    "a limit reached, again soon": answer(headers={"Retry-After": "soon"}, status="429 Slow"),
    "a limit reached, again in ²": answer(headers={"Retry-After": "²"}, status="429 Slow"),
    "a limit reached, again at nan": answer(headers={"Retry-After": "nan"}, status="418 Slow"),
    "a limit reached, again in a century": answer(headers={"Retry-After": "9" * 400}, status="429 Slow"),
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_answer_is_a_typed_error_of_its_request(sent: bytes) -> None:
    with pytest.raises(LeverhouseError, match=r"^v: ") as failed:
        get([sent])
    assert failed.value.__cause__ is None or isinstance(failed.value.__cause__, LeverhouseError)


@pytest.mark.parametrize("weight", ["²", "many", "-5", "nan", "inf", "1e400", "", "9" * 5000])
def test_a_weight_that_is_no_number_is_ignored(weight: str) -> None:
    assert get([answer(headers={"X-Weight": weight})]).status == 200


def test_a_check_that_an_answer_breaks_is_a_malformed_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules look for an error code where their venue writes it; an answer of another shape is no defect of ours."""
    broken = replace(VENUE, check=lambda page: page.json()["code"]["text"])
    monkeypatch.setattr(sys.modules[__name__], "VENUE", broken)
    with pytest.raises(SourceFormatError, match=r"v: api/x: unexpected answer \(TypeError"):
        get([answer(b"[1]")])


# Clocks


def dated(moment: datetime, **headers: str) -> bytes:
    return answer(headers={"Date": format_datetime(moment.replace(tzinfo=UTC), usegmt=True), **headers})


def test_one_answer_from_a_wrong_clock_is_asked_again_and_three_end_the_fetch() -> None:
    patient = replace(ONCE, attempts=5)
    far = dated(NOW + timedelta(days=10))
    assert get([far, far, dated(NOW)], retry=patient).status == 200
    with pytest.raises(
        ClockError, match=r"the venue's clock is 240 h ahead of this machine's.*set the clock"
    ) as failed:
        get([far], retry=patient)
    assert failed.value.exit_code == 78


def test_an_answer_from_a_cache_is_as_old_as_it_says() -> None:
    assert get([dated(NOW - timedelta(hours=5), Age=str(5 * 3600))]).status == 200
    with pytest.raises(VenueUnavailableError, match="5 h behind"):
        get([dated(NOW - timedelta(hours=5))])


@pytest.mark.parametrize("date", ["soon", "", "Sun, 99 Mar 2024 06:00:00 GMT", "1" * 5000])
def test_a_date_that_is_none_says_nothing(date: str) -> None:
    assert get([answer(headers={"Date": date})]).status == 200


def test_the_later_of_two_answers_counts_and_a_day_is_over_by_both_clocks() -> None:
    clock = VenueClock()
    headers = {"date": "Sun, 10 Mar 2024 05:30:00 GMT"}
    assert clock.observe(headers, NOW, NOW) == timedelta(minutes=-30, seconds=1)
    assert clock.earlier(NOW) == NOW - timedelta(minutes=30, seconds=-1)
    assert clock.observe({"date": DATE}, NOW - timedelta(seconds=2), NOW + timedelta(seconds=1)) == timedelta(0)
    assert (clock.earlier(NOW), clock.is_noted) == (NOW, False)
    assert skew_text(timedelta(minutes=-12)) == "the venue's clock is 12 min behind this machine's"


@pytest.mark.parametrize(
    ("text", "wait"),
    [("5", 5.0), (" 2.5 ", 2.5), ("soon", None), ("²", None), ("-3", None), ("nan", None), ("1e3", None), (None, None),
     ("Sun, 10 Mar 2024 06:01:00 GMT", 60.0), ("Sun, 10 Mar 2024 06:01:00 -0000", 60.0), ("Sun, 10 Mar 2019 06:00:00 GMT", 0.0)],
)  # fmt: skip
def test_a_wait_is_a_number_or_a_date_or_nothing(text: str | None, wait: float | None) -> None:
    assert wait_of(text, NOW) == wait


def test_numbers_and_dates_of_headers_are_strict() -> None:
    assert [number_of(text) for text in ("12", "1.5", "٣", "1_0", "0x1", "")] == [12.0, 1.5, None, None, None, None]
    assert [date_of(text) for text in (DATE, "Sun, 10 Mar 99999 06:00:00 GMT", None)] == [NOW, None, None]


def test_a_clock_that_was_never_set_is_refused_and_one_that_runs_back_stands_still() -> None:
    with pytest.raises(ClockError, match=r"shows 1970-01-01 00:00 UTC, which is before 2020\. Set it") as failed:
        check_clock(datetime(1970, 1, 1))
    assert failed.value.exit_code == 78
    times = [NOW, NOW - timedelta(hours=2), NOW - timedelta(hours=1), NOW + timedelta(seconds=1)]
    steady = SteadyClock(lambda: times.pop(0))
    assert [steady() for _ in range(4)] == [NOW, NOW, NOW, NOW + timedelta(seconds=1)]


def test_landings_keep_their_order_when_the_clock_is_set_back(tmp_path: Path) -> None:
    store, times = (
        LandingStore(tmp_path),
        [NOW, NOW - timedelta(days=10), NOW - timedelta(days=9), NOW + timedelta(days=1)],
    )
    landed = []
    for number, moment in enumerate(times):
        with store.draft("v.f", "2024-03-09", f"part{number // 2}") as draft:
            draft.add(Page("*", {}, 200, moment, str(number).encode()))
            landed.append(
                draft.land(completeness="complete", request={}, original_name="x", clock=iter([moment]).__next__)
            )
    assert [landing.fetched_at - NOW for landing in landed] == [
        timedelta(0), timedelta(microseconds=1), timedelta(microseconds=2), timedelta(days=1),
    ]  # fmt: skip
    assert [landing.landing_id for landing in LandingStore(tmp_path).all()] == [
        landing.landing_id for landing in landed
    ]
    # What is final is told by the clock as it is.
    assert [store.checked_at(landing) for landing in landed] == times


# Folders instead of hosts, and addresses that are none


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    (folder / "data").mkdir(parents=True)
    (folder / "large").write_bytes(b"0" * 2_000_000)
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    (folder / "data" / os.fsdecode(b"\xff.csv")).write_bytes(b"1")
    return folder


def from_folder(folder: Path, path: str, **options: Any) -> Page:
    async def main() -> Page:
        async with open_api(VENUE, endpoints={"api": folder.as_uri()}, retry=ONCE, clock=lambda: NOW) as api:
            return await api.get(path, is_json=False, accept=(200, 404), **options)

    with in_force(Limits(answer_bytes=1_000_000)):
        return asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "error"),
    [("/large", LimitError), ("/a\0b", RequestRefusedError), ("/" + "n" * 300, VenueUnavailableError)],
)
def test_a_mirror_that_cannot_be_read_is_a_typed_error(mirror: Path, path: str, error: type[LeverhouseError]) -> None:
    with pytest.raises(error, match=r"^v: api/"):
        from_folder(mirror, path)


def test_a_mirror_serves_files_alone_and_one_that_is_not_mounted_is_unavailable(mirror: Path) -> None:
    assert from_folder(mirror, "/pipe").status == 404
    with pytest.raises(VenueUnavailableError, match=r"is the disk of the mirror mounted\?"):
        from_folder(mirror.with_name("gone"), "/data/a.csv")
    with pytest.raises(LeverhouseError, match=r"^v: api/"):
        from_folder(mirror, "/", params={"prefix": "data/"})


def test_an_address_keeps_its_query_and_sends_it_with_every_request() -> None:
    assert BaseUrl.of("https://u:p@host/v2/k/?apikey=a&b=#f") == BaseUrl(
        "https://u:p@host/v2/k", (("apikey", "a"), ("b", ""))
    )
    assert BaseUrl.of("file:///a%20b/").is_mirror
