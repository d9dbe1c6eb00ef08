"""The client over loopback HTTP: requests, waits, refused responses, and secrets that are never stored."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import (
    ConfigError,
    LimitError,
    RequestRefusedError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.core.limits import Limits, in_force
from pipelines.extract.client import UNANSWERED, HttpApi, RetryPolicy, open_api
from pipelines.extract.landing import LandingStore
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Page, Secret, Venue
from pipelines.sandbox.emulator import Emulator, Fault, Request, Response, Route
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel

NOW = datetime(2024, 3, 10, 6)
FAST_RETRY = RetryPolicy(attempts=3, first_wait=0.01, longest_backoff=0.02, longest_wait=2.0, total_seconds=5.0)
VENUE = Venue(name="v", endpoints={"api": "https://example.com"}, limits=(), feeds=())


@dataclass
class Server:
    """A venue with one response under /x and /y that records its requests."""

    answer: Response = field(default_factory=lambda: Response({"ok": True}))
    requests: list[Request] = field(default_factory=list)

    def routes(self) -> Mapping[str, Sequence[Route]]:
        def respond(request: Request, market: MarketModel) -> Response:
            self.requests.append(request)
            return self.answer

        return {"v": [Route(method, "api", path, respond) for method in ("GET", "POST") for path in ("/x", "/y")]}


def emulated(server: Server, **options: Any) -> Emulator:
    return Emulator(AnalyticMarket(), ["v"], now=lambda: NOW, routes=server.routes(), **options)


def call(
    emulator: Emulator,
    send: Callable[[HttpApi], Any],
    *,
    venue: Venue = VENUE,
    retry: RetryPolicy = FAST_RETRY,
    contact: str = "",
) -> Any:
    """The result of `send` with a client of the emulated venue."""

    async def main() -> Any:
        base = {"api": emulator.endpoints["v.api"]}
        async with open_api(venue, endpoints=base, contact=contact, retry=retry, clock=lambda: NOW) as api:
            return await send(api)

    return asyncio.run(main())


# Requests


def test_the_user_agent_names_the_project_and_the_contact() -> None:
    server = Server()
    with emulated(server) as emulator:
        call(emulator, lambda api: api.get("/x"), contact="ops@example.com")
        call(emulator, lambda api: api.get("/x"))
    agents = [request.headers["user-agent"] for request in server.requests]
    assert agents[0].startswith("leverhouse/")
    assert agents[0].endswith(" (ops@example.com)")
    assert "(" not in agents[1]


def test_parameters_and_bodies_are_sent_and_recorded_unchanged() -> None:
    server = Server()
    with emulated(server) as emulator:
        got = call(emulator, lambda api: api.get("/x", subject="BTC", params={"symbol": "BTC/USD", "limit": 5}))
        posted = call(emulator, lambda api: api.post("/x", body={"type": "meta"}))
    first, second = server.requests
    assert dict(first.params) == {"symbol": "BTC/USD", "limit": "5"}
    assert (second.method, second.json, second.headers["content-type"]) == (
        "POST", {"type": "meta"}, "application/json",
    )  # fmt: skip
    assert got.request == {
        "method": "GET", "endpoint": "api", "path": "/x", "params": {"symbol": "BTC/USD", "limit": 5},
    }  # fmt: skip
    assert (got.subject, got.received_at, posted.request["body"]) == ("BTC", NOW, {"type": "meta"})


def test_a_key_is_sent_and_never_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V_KEY", "planted-secret")
    keyed = replace(VENUE, secrets=(Secret("api_key", "V_KEY"),))
    server = Server()
    store = LandingStore(tmp_path)
    with emulated(server, faults=[Fault("/y", "status", times=9, status=401, body=b"no")]) as emulator:
        page = call(emulator, lambda api: api.get("/x"), venue=keyed)
        with pytest.raises(RequestRefusedError) as refused:
            call(emulator, lambda api: api.get("/y"), venue=keyed)
    assert server.requests[0].headers["api_key"] == "planted-secret"
    with store.draft("v.f", "2024-03-09", "all") as draft:
        draft.add(page)
        draft.land(completeness="complete", request={}, original_name="x")
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"planted-secret" not in kept + repr(page).encode() + str(refused.value).encode()


def test_a_missing_key_is_named_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("V_KEY", raising=False)
    server = Server()
    with emulated(server) as emulator:
        with pytest.raises(ConfigError, match="v: set V_KEY in the environment"):
            call(emulator, lambda api: api.get("/x"), venue=replace(VENUE, secrets=(Secret("api_key", "V_KEY"),)))
        call(emulator, lambda api: api.get("/x"), venue=replace(VENUE, secrets=(Secret("a", "V_KEY", required=False),)))
    assert ["a" in request.headers for request in server.requests] == [False]


# Waits


def test_a_retry_after_date_is_respected() -> None:
    moment = format_datetime((NOW + timedelta(seconds=1)).replace(tzinfo=UTC), usegmt=True)
    server = Server()
    fault = Fault("/x", "status", status=429, headers={"Retry-After": moment})
    with emulated(server, faults=[fault]) as emulator:
        call(emulator, lambda api: api.get("/x"))
        first, second = (hit.at for hit in emulator.hits)
    assert second - first >= 1.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("86400", 86_400.0), ("Mon, 11 Mar 2024 06:00:00 GMT", 86_400.0), ("Mon, 11 Mar 2024 07:00:00 +0100", 86_400.0)],
)
def test_a_wait_beyond_the_longest_fails_immediately(header: str, seconds: float) -> None:
    server = Server()
    fault = Fault("/x", "status", times=9, status=429, headers={"Retry-After": header})
    with emulated(server, faults=[fault]) as emulator:
        with pytest.raises(ThrottledError) as raised:
            call(emulator, lambda api: api.get("/x"))
        assert len(emulator.hits) == 1
    assert raised.value.wait_seconds == seconds


@pytest.mark.parametrize("header", ["Mon, 11 Mar 2019 06:00:00 GMT", "soon", ""])
def test_a_past_or_invalid_retry_after_is_ignored(header: str) -> None:
    server = Server()
    with emulated(server, faults=[Fault("/x", "status", status=429, headers={"Retry-After": header})]) as emulator:
        assert call(emulator, lambda api: api.get("/x")).status == 200
        first, second = (hit.at for hit in emulator.hits)
    assert second - first < 1.5


@pytest.mark.parametrize("latency", [0.0, 0.03])
def test_a_limit_is_never_exceeded(latency: float) -> None:
    """At most twelve requests in any quarter of a second, as counted by the server, with thirty concurrent tasks."""
    server = Server()
    limited = replace(VENUE, limits=(Limit(12, 0.25),), concurrency=30)

    async def many(api: HttpApi) -> None:
        await asyncio.gather(*(api.get("/x") for _ in range(60)))

    with emulated(server, latency=latency) as emulator:
        call(emulator, many, venue=limited)
        assert len(emulator.hits) == 60
        assert emulator.most_in("v", 0.25) <= 12


def test_a_limit_holds_through_retries_too() -> None:
    server = Server()
    limited = replace(VENUE, limits=(Limit(10, 0.25),))
    faults = [Fault("/x", "status", first=n, status=503) for n in range(1, 40, 3)]

    async def many(api: HttpApi) -> int:
        await asyncio.gather(*(api.get("/x") for _ in range(20)))
        return api.retries

    with emulated(server, faults=faults) as emulator:
        retries = call(emulator, many, venue=limited, retry=replace(FAST_RETRY, attempts=8))
        assert len(emulator.hits) == 20 + retries
        assert emulator.most_in("v", 0.25) <= 10
    assert retries > 0


# Refused responses


def test_a_redirect_is_not_followed() -> None:
    server = Server(Response(b"", status=302, headers={"Location": "/v/api/y"}))
    with emulated(server) as emulator, pytest.raises(RequestRefusedError, match="status 302"):
        call(emulator, lambda api: api.get("/x"))
    assert [request.path for request in server.requests] == ["/x"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_response_larger_than_the_limit_is_refused_compressed_or_not(packed: bool) -> None:
    content = b"[" + b"0," * (1 << 20) + b"0]"
    answer = Response(gzip.compress(content), headers={"Content-Encoding": "gzip"}) if packed else Response(content)
    with (
        emulated(Server(answer)) as emulator,
        in_force(Limits(answer_bytes=1 << 20)),
        pytest.raises(LimitError, match=r"larger than 1,048,576 bytes; the limit answer_bytes is 1,048,576"),
    ):
        call(emulator, lambda api: api.get("/x"), retry=FAST_RETRY)


def test_a_response_of_the_largest_size_is_accepted() -> None:
    content = b'"' + b"0" * 998 + b'"'
    with emulated(Server(Response(content))) as emulator, in_force(Limits(answer_bytes=1000)):
        page = call(emulator, lambda api: api.get("/x"), retry=FAST_RETRY)
    assert page.body == content


def test_a_status_that_a_feed_accepts_is_a_valid_response() -> None:
    with emulated(Server(Response(b"none", status=404))) as emulator:
        assert call(emulator, lambda api: api.get("/x", accept=(200, 404))).status == 404
        with pytest.raises(RequestRefusedError, match="status 404"):
            call(emulator, lambda api: api.get("/x"))


# A folder instead of a host


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    folder = tmp_path / "mirror of v"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "a.csv").write_bytes(b"1,2")
    (tmp_path / "outside.csv").write_bytes(b"secret")
    (folder / "link.csv").symlink_to(tmp_path / "outside.csv")
    return folder


def from_folder(folder: Path, path: str, **options: Any) -> Page:
    async def main() -> Page:
        async with open_api(VENUE, endpoints={"api": folder.as_uri()}, retry=FAST_RETRY, clock=lambda: NOW) as api:
            return await api.get(path, is_json=False, accept=(200, 404), **options)

    return asyncio.run(main())


def test_a_folder_responds_like_the_host_it_mirrors(mirror: Path) -> None:
    page = from_folder(mirror, "/data/a.csv")
    assert (page.status, page.body, page.received_at) == (200, b"1,2", NOW)
    assert from_folder(mirror, "/data/b.csv").status == 404
    assert from_folder(mirror, "/data").status == 404


@pytest.mark.parametrize("path", ["/../outside.csv", "/data/../../outside.csv", "//../outside.csv", "/link.csv"])
def test_nothing_outside_the_folder_is_served(mirror: Path, path: str) -> None:
    page = from_folder(mirror, path)
    assert (page.status, page.body) == (404, b"")


@pytest.mark.parametrize("prefix", ["../", "data/../../", "/"])
def test_nothing_outside_the_folder_is_listed(mirror: Path, prefix: str) -> None:
    assert b"outside" not in from_folder(mirror, "/", params={"prefix": prefix}).body


# A venue that does not answer


def asked_of_a_silent_venue(requests: int, *, feeds: int, faults: int) -> tuple[int, list[str]]:
    """How many requests reached a venue of which the first `faults` fail, and what became of each of `requests` in every feed."""
    outcomes: list[str] = []

    async def send(api: HttpApi) -> None:
        for _ in range(feeds):
            api.begin_feed()
            for _ in range(requests):
                try:
                    await api.get("/x")
                    outcomes.append("answered")
                except VenueUnavailableError as error:
                    outcomes.append("not asked" if "not asked" in str(error) else "no answer")

    with emulated(Server(), faults=[Fault("/x", "status", times=faults, status=503)]) as emulator:
        call(emulator, send)
        return len(emulator.hits), outcomes


def test_a_venue_that_never_answers_is_given_up_for_all_its_feeds() -> None:
    hits, outcomes = asked_of_a_silent_venue(UNANSWERED + 4, feeds=4, faults=999)
    # A whole number of requests, then one that finds out whether it is back, and nothing in the feeds after that.
    assert hits == (UNANSWERED + 1) * FAST_RETRY.attempts
    assert (outcomes.count("no answer"), outcomes.count("not asked")) == (
        UNANSWERED + 1,
        4 * (UNANSWERED + 4) - UNANSWERED - 1,
    )


def test_a_venue_that_is_back_is_asked_for_everything_of_the_next_feed() -> None:
    _, outcomes = asked_of_a_silent_venue(UNANSWERED + 1, feeds=2, faults=UNANSWERED * FAST_RETRY.attempts)
    assert outcomes[: UNANSWERED + 1] == [*["no answer"] * UNANSWERED, "not asked"]
    assert outcomes[UNANSWERED + 1 :] == ["answered"] * (UNANSWERED + 1)


def test_waits_that_a_venue_asks_for_are_added_up() -> None:
    """Two waits of a second and a half are more than the two seconds that are waited at most."""
    fault = Fault("/x", "status", times=9, status=429, headers={"Retry-After": "1.5"})
    with emulated(Server(), faults=[fault]) as emulator:
        with pytest.raises(ThrottledError):
            call(emulator, lambda api: api.get("/x"))
        assert len(emulator.hits) == 2
