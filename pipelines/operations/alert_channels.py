"""Where alerts are sent: a webhook (one JSON POST), a mail server, or whatever Apprise knows, if it is installed.

Addresses hold secrets, so they are environment variables, read where they are used, and appear in no error.
"""

from __future__ import annotations

import json
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from pipelines.core.errors import ConfigError, TransientError
from pipelines.operations.alerts import Message

WEBHOOK: Final = "LEVERHOUSE_ALERT_WEBHOOK"
"""https:// or http:// address that takes a JSON POST: `text` for people, and `alerts`, a record for each message."""
MAIL: Final = "LEVERHOUSE_ALERT_MAIL"
"""smtp://user:password@host:587/?from=a@example.org&to=b@example.org (STARTTLS unless &tls=no), or smtps:// with TLS."""
APPRISE: Final = "LEVERHOUSE_ALERT_APPRISE"
"""Addresses of Apprise, separated by spaces; needs the package apprise."""

SECONDS: Final = 15.0

Channel = Callable[[Sequence[Message]], None]


class AlertNotSentError(TransientError):
    """A channel did not take a message; it is sent again by the next pass."""


def channels(environment: Mapping[str, str] = os.environ) -> dict[str, Channel]:
    """The channels that the environment names, by variable. Raises ConfigError for one that cannot be used."""
    makers: dict[str, Callable[[str], Channel]] = {WEBHOOK: webhook, MAIL: mail, APPRISE: apprise}
    return {name: make(environment[name]) for name, make in makers.items() if environment.get(name)}


def webhook(address: str) -> Channel:
    """POST the messages as one JSON document. `text` is what chat services show."""
    if urlsplit(address).scheme not in {"http", "https"} or not urlsplit(address).hostname:
        raise ConfigError(f"{WEBHOOK} is no address: write https://… and where it leads.")

    def send(messages: Sequence[Message]) -> None:
        document = {"text": text_of(messages), "alerts": [_record(message) for message in messages]}
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            address, data=json.dumps(document).encode(), headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as error:
            raise AlertNotSentError(f"{WEBHOOK}: the receiver answered {error.code}.") from None
        except OSError as error:
            raise AlertNotSentError(
                f"{WEBHOOK}: {type(error).__name__}; see whether the receiver can be reached."
            ) from None

    return send


def mail(address: str) -> Channel:
    """Send the messages as one plain mail."""
    parts = urlsplit(address)
    options = parse_qs(parts.query)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or not options.get("to") or not options.get("from"):
        raise ConfigError(f"{MAIL} is no address: write smtp://host:587/?from=…&to=…")
    host, is_tls = parts.hostname, parts.scheme == "smtps"
    use_starttls = not is_tls and options.get("tls", ["yes"])[-1] != "no"

    def send(messages: Sequence[Message]) -> None:
        letter = EmailMessage()
        letter["Subject"] = f"leverhouse: {subject_of(messages)}"
        letter["From"], letter["To"] = options["from"][-1], ", ".join(options["to"])
        letter.set_content(text_of(messages) + "\n")
        context = ssl.create_default_context()
        try:
            with (
                smtplib.SMTP_SSL(host, parts.port or 465, timeout=SECONDS, context=context)
                if is_tls
                else smtplib.SMTP(host, parts.port or 587, timeout=SECONDS)
            ) as server:
                if use_starttls:
                    server.starttls(context=context)
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                server.send_message(letter)
        except (OSError, smtplib.SMTPException) as error:
            raise AlertNotSentError(
                f"{MAIL}: {type(error).__name__}; see whether the server takes mail from here."
            ) from None

    return send


def apprise(addresses: str) -> Channel:
    """Send through Apprise, an extra: pip install 'leverhouse[alerts]'."""
    try:
        from apprise import Apprise
    except ImportError as error:
        raise ConfigError(f"{APPRISE} needs the package apprise: pip install 'leverhouse[alerts]'.") from error
    sender = Apprise()
    for address in addresses.split():
        if not sender.add(address):
            raise ConfigError(f"{APPRISE}: Apprise does not know one of the addresses.")

    def send(messages: Sequence[Message]) -> None:
        if not sender.notify(title=f"leverhouse: {subject_of(messages)}", body=text_of(messages)):
            raise AlertNotSentError(f"{APPRISE}: a service did not take the message.")

    return send


def subject_of(messages: Sequence[Message]) -> str:
    first = messages[0]
    more = f" and {len(messages) - 1} more" if len(messages) > 1 else ""
    return f"{first.event}: {first.alert.kind} {first.alert.subject}{more}"


def text_of(messages: Sequence[Message]) -> str:
    """One line a message."""
    return "\n".join(message.line for message in messages)


def _record(message: Message) -> dict[str, str]:
    alert = message.alert
    return {
        "event": message.event,
        "kind": alert.kind,
        "subject": alert.subject,
        "text": alert.text,
        "next_step": alert.next_step,
        "opened_at": message.opened_at.isoformat(timespec="seconds"),
    }
