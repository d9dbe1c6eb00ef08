"""Alerts: what is told of a state, once each; a receiver that is down loses nothing."""

from __future__ import annotations

import email
import json
import socketserver
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.operations.alert_channels import (
    APPRISE,
    MAIL,
    WEBHOOK,
    AlertNotSentError,
    apprise,
    channels,
    mail,
    webhook,
)
from pipelines.operations.alerting import pass_over
from pipelines.operations.alerts import (
    Alert,
    AlertBook,
    FailedRun,
    Message,
    MissingPart,
    SignalState,
    State,
    alerts,
)
from pipelines.operations.metrics import Family, render
from pipelines.operations.watch import Watch

NOW = datetime(2026, 11, 30, 12)
LATER = NOW + timedelta(minutes=1)
FULL = Alert("disk low", "home", "0.1 GB free", "free disk space")


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State(), []),
        (State(free_bytes=10**9 - 1), ["disk low home"]),
        (State(free_bytes=3 * 10**9, database_bytes=2 * 10**9), []),
        (State(recorder_heard=NOW - timedelta(minutes=4)), []),
        (State(recorder_heard=NOW - timedelta(minutes=5)), ["recorder deaf recorder"]),
        (State(failed_runs=[FailedRun("fetch_bybit", "r1", "no answer")]), ["run failed fetch_bybit"]),
        (
            State(missing=[MissingPart("okx.liquidations", f"slot {n}", "no run", None) for n in range(4)]),
            ["slot lost okx.liquidations"],
        ),
        (
            State(missing=[MissingPart("okx.funding", "2026-11-29", "failed", NOW + timedelta(days=2))]),
            ["about to be forgotten okx.funding"],
        ),
        (State(missing=[MissingPart("okx.funding", "2026-11-29", "failed", NOW + timedelta(days=3))]), []),
        (
            State(newest_days=[("bybit.a", date(2026, 11, 27)), ("bybit.b", date(2026, 11, 26)), ("bybit.c", None)]),
            ["newest day too old bybit.b", "newest day too old bybit.c"],
        ),
        (State(refused=[("bybit.a", "refused 1"), ("bybit.a", "refused 2")]), ["landing refused bybit.a"]),
        (State(signals=[SignalState("BTC", "crowded_longs", NOW.date(), "supported")]), ["signal on BTC crowded_longs"]),
    ],
)  # fmt: skip
def test_what_is_told_of_a_state(state: State, told: list[str]) -> None:
    assert [f"{alert.kind} {alert.subject}" for alert in alerts(state, NOW)] == told


def test_every_alert_names_the_next_step() -> None:
    state = State(
        failed_runs=[FailedRun("load", "r1", "")], missing=[MissingPart("a.b", "x", "y", None)], free_bytes=0,
        newest_days=[("a.b", None)], refused=[("a.b", "x")], recorder_heard=datetime(2026, 1, 1),
    )  # fmt: skip
    assert all(alert.next_step for alert in alerts(state, NOW))
    [lost] = alerts(State(missing=[MissingPart("a.b", f"s{n}", "y", None) for n in range(5)]), NOW)
    assert lost.text == "s0 (y), s1 (y), s2 (y) and 2 more"


@pytest.fixture
def book(tmp_path: Path) -> AlertBook:
    return AlertBook(tmp_path / "alerts.db", "one")


def events(messages: list[Message]) -> list[str]:
    return [f"{message.event} {message.alert.kind}" for message in messages]


def test_an_alert_is_told_when_it_opens_daily_and_when_it_closes(book: AlertBook) -> None:
    opened = book.messages([FULL], NOW)
    assert events(opened) == ["opened disk low"]
    book.told(opened, NOW)
    assert book.messages([FULL], NOW + timedelta(hours=23)) == []
    reminder = book.messages([FULL], NOW + timedelta(hours=24))
    assert events(reminder) == ["still open disk low"]
    assert reminder[0].opened_at == NOW
    book.told(reminder, NOW + timedelta(hours=24))
    closed = book.messages([], NOW + timedelta(hours=25))
    assert events(closed) == ["closed disk low"]
    book.told(closed, NOW + timedelta(hours=25))
    assert book.messages([], NOW + timedelta(hours=26)) == []


def test_a_message_that_was_not_sent_is_due_again(book: AlertBook) -> None:
    assert events(book.messages([FULL], NOW)) == ["opened disk low"]
    again = book.messages([FULL], LATER)
    assert events(again) == ["opened disk low"]
    assert again[0].opened_at == NOW


def test_what_closes_before_it_was_told_is_not_told(book: AlertBook) -> None:
    book.messages([FULL], NOW)
    assert book.messages([], LATER) == []


def test_channels_do_not_depend_on_each_other(book: AlertBook) -> None:
    book.told(book.messages([FULL], NOW), NOW)
    other = AlertBook(book.path, "other")
    assert events(other.messages([FULL], LATER)) == ["opened disk low"]
    assert book.messages([FULL], LATER) == []


class Receiver(BaseHTTPRequestHandler):
    """Keeps the documents it is sent; answers with `status`."""

    status = 200
    received: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.status == 200:
            self.received.append(json.loads(body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[Receiver]]]:
    handler = type("Kept", (Receiver,), {"received": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?token=hidden", handler
        server.shutdown()
        thread.join()


def test_a_pass_tells_once_over_a_webhook_and_again_after_it_was_down(
    tmp_path: Path, receiver: tuple[str, type[Receiver]]
) -> None:
    address, handler = receiver
    watch = Watch(Settings(home=tmp_path))
    named = channels({WEBHOOK: address})
    failed = [FailedRun("fetch_bybit", "r1", "no answer")]
    handler.status = 503
    assert "1 not told: LEVERHOUSE_ALERT_WEBHOOK: the receiver answered 503." in pass_over(
        watch, named, NOW, failed_runs=failed
    )
    handler.status = 200
    for minute in range(3):
        pass_over(watch, named, NOW + timedelta(minutes=1 + minute), failed_runs=failed)
    pass_over(watch, named, NOW + timedelta(minutes=9))
    opened, closed = handler.received
    assert opened["alerts"] == [
        {
            "event": "opened", "kind": "run failed", "subject": "fetch_bybit", "text": "no answer (run r1)",
            "next_step": "leverhouse doctor, then the run's page", "opened_at": "2026-11-30T12:00:00",
        }
    ]  # fmt: skip
    assert opened["text"] == "run failed fetch_bybit: no answer (run r1). Next: leverhouse doctor, then the run's page."
    assert [one["event"] for one in closed["alerts"]] == ["closed"]


def test_an_error_of_a_channel_holds_no_secret() -> None:
    message = [Message("opened", FULL, NOW)]
    for send in (webhook("http://127.0.0.1:9/?token=hidden"), mail("smtp://me:hidden@127.0.0.1:9/?from=a@x&to=b@x")):
        with pytest.raises(AlertNotSentError) as caught:
            send(message)
        assert "hidden" not in str(caught.value)
        assert caught.value.__cause__ is None


class MailServer(socketserver.StreamRequestHandler):
    """Speaks as much SMTP as a client needs that logs in nowhere."""

    letters: list[bytes]

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            verb = line.split()[0].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text)
                self.letters.append(b"".join(lines))
            if verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@contextmanager
def mail_server() -> Iterator[tuple[int, list[bytes]]]:
    letters: list[bytes] = []
    handler = type("Kept", (MailServer,), {"letters": letters})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1], letters
        server.shutdown()
        thread.join()


def test_a_mail_lists_the_messages() -> None:
    with mail_server() as (port, letters):
        mail(f"smtp://127.0.0.1:{port}/?from=house@example.org&to=a@example.org&to=b@example.org&tls=no")(
            [Message("opened", FULL, NOW), Message("closed", Alert("run failed", "load", "why", ""), NOW)]
        )
    [letter] = [email.message_from_bytes(text) for text in letters]
    assert letter["Subject"] == "leverhouse: opened: disk low home and 1 more"
    assert letter["To"] == "a@example.org, b@example.org"
    assert str(letter.get_payload()).replace("\r\n", "\n") == (
        "disk low home: 0.1 GB free. Next: free disk space.\nclosed: run failed load: why.\n"
    )


@pytest.mark.parametrize(
    ("variable", "address"),
    [
        (WEBHOOK, "ftp://example.org/hidden"),
        (WEBHOOK, "hidden"),
        (MAIL, "smtp://hidden@example.org/?from=a@x"),
        (MAIL, "https://example.org/?from=hidden&to=b"),
    ],
)
def test_an_address_that_is_none_is_named_by_its_variable(variable: str, address: str) -> None:
    with pytest.raises(ConfigError, match=variable) as caught:
        channels({variable: address})
    assert "hidden" not in str(caught.value)


def test_no_channel_is_named_by_default() -> None:
    assert channels({}) == {}


def test_apprise_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"pip install 'leverhouse\[alerts\]'"):
        apprise("json://127.0.0.1")


def test_apprise_sends_title_and_text(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []

    class Apprise:
        def add(self, address: str) -> bool:
            return address == "known://"

        def notify(self, *, title: str, body: str) -> bool:
            sent.append((title, body))
            return len(sent) == 1

    module = types.ModuleType("apprise")
    vars(module)["Apprise"] = Apprise
    monkeypatch.setitem(sys.modules, "apprise", module)
    with pytest.raises(ConfigError, match=APPRISE):
        apprise("known:// unknown://")
    send = apprise("known://")
    send([Message("opened", FULL, NOW)])
    assert sent == [("leverhouse: opened: disk low home", "disk low home: 0.1 GB free. Next: free disk space.")]
    with pytest.raises(AlertNotSentError):
        send([Message("opened", FULL, NOW)])


def test_metrics_are_open_metrics_text(tmp_path: Path) -> None:
    found = [
        Family("leverhouse_rows", "Rows.", [({"source": 'a"b\\'}, 3)]),
        Family("leverhouse_free_bytes", "Free.", [({}, 5)]),
    ]
    assert render(found) == (
        "# TYPE leverhouse_rows gauge\n# HELP leverhouse_rows Rows.\n"
        'leverhouse_rows{source="a\\"b\\\\"} 3\n'
        "# TYPE leverhouse_free_bytes gauge\n# HELP leverhouse_free_bytes Free.\nleverhouse_free_bytes 5\n# EOF\n"
    )
    pass_over(Watch(Settings(home=tmp_path)), {}, NOW, runs={("load", "success"): 2})
    written = (tmp_path / "metrics.prom").read_text()
    assert 'leverhouse_runs{job="load",status="success"} 2' in written
    assert written.endswith("# EOF\n")
