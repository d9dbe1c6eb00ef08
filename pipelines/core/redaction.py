"""Redaction: the one place that keeps secrets out of texts.

Keys of venues, and what an address in the settings may hold as one (path, query, user info), are protected by value: whoever
reads a setting calls `protect` or `protect_address`, and whatever leaves the process as text passes `redact`. Values are found
in every spelling an echo may have: percent-encoded, in JSON, in HTML, in a header of basic authentication.
"""

from __future__ import annotations

import base64
import html
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

SHORTEST_IN_TEXT: Final = 4
"""Characters of a value that is replaced in texts. A shorter one is replaced as part of its address only."""

SHORTEST_IN_BODY: Final = 8
"""Characters of a value that is replaced in what a venue sent, where a short one would be found in honest data."""

PUBLIC_WORDS: Final = frozenset({
    "api", "apikey", "app", "arbitrum", "archive", "avalanche", "avax", "base", "beacon", "blast", "bnb", "bsc",
    "celo", "chain", "chains", "client", "core", "data", "dataset", "datasets", "endpoint", "ethereum", "evm",
    "exchange", "ext", "fantom", "fast", "full", "futures", "gateway", "geth", "gnosis", "graphql", "history",
    "http", "https", "hyperevm", "info", "json", "jsonrpc", "key", "latest", "linea", "main", "mainnet", "mantle",
    "market", "markets", "mirror", "mode", "network", "node", "nodes", "one", "optimism", "option", "options",
    "pass", "password", "perp", "perps", "polygon", "portal", "prices", "prod", "project", "public", "query",
    "rest", "rpc", "scroll", "secret", "server", "service", "sonic", "spot", "sqd", "stream", "streams", "swap",
    "testnet", "token", "true", "unichain", "user", "username", "vision", "worldchain", "zksync",
})  # fmt: skip
"""Words of addresses that are no key. All other parts of a path or a query, and any password, are taken for one."""

_VERSION: Final = re.compile(r"v?[0-9]{1,3}")
_PARTS: Final = re.compile(r"[-_.]")


@dataclass(frozen=True)
class _Value:
    """A protected value, and how it is found."""

    name: str
    core: str
    """The longest run of letters and digits in it, which no encoding changes: texts without it are not searched further."""
    length: int
    pattern: re.Pattern[str]
    in_bytes: re.Pattern[bytes]

    @classmethod
    def of(cls, value: str, name: str) -> _Value:
        core = max(re.findall(r"[A-Za-z0-9]+", value) or [""], key=len)
        pattern = "".join(map(_spellings, value))
        return cls(f"[{name}]", core, len(value), re.compile(pattern), re.compile(pattern.encode()))


@dataclass
class _Vault:
    """The protected values, longest first: an address is replaced before the key in it."""

    values: dict[str, _Value] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, values: Iterable[str]) -> None:
        new = {value: _Value.of(value, name) for value in values if value not in self.values}
        if new:
            with self.lock:
                found = {**self.values, **new}
                self.values = dict(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))


_VAULT: Final = _Vault()


def protect(name: str, *values: str) -> None:
    """Replace `values` by [name] in everything redacted from now on. Too short ones, which any text contains, are not."""
    stripped = (value.strip() for value in values)
    plain = (text for value in stripped for text in (value, unquote(value), unquote_plus(value)))
    _VAULT.add(name, [text for text in plain if len(text) >= SHORTEST_IN_TEXT])


def protect_address(name: str, address: str, *, public: Iterable[str] = ()) -> None:
    """Protect what an address may hold as a key: user info, the parts of the path, the values of the query, the fragment.

    `public` are further words that are no key, such as the name of the venue the address belongs to.
    """
    address = address.strip()
    try:
        parts = urlsplit(address)
    except ValueError:
        # No address at all: the settings refuse it without showing it.
        protect(name, address)
        return
    if parts.scheme == "file":
        return
    known = frozenset(word for text in (*public, name) for word in _PARTS.split(text.lower()))

    def secrets_of(*texts: str) -> list[str]:
        return [text for text in texts if text and not _is_public(text, known)]

    user_info = parts.netloc.rpartition("@")[0]
    user, _, password = user_info.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    in_user_info = [*secrets_of(user), *([password] if password else [])]
    in_path = secrets_of(*parts.path.split("/"))
    in_query = secrets_of(*(value or key for key, value in query), parts.fragment)
    if in_user_info:
        encoded = (base64.b64encode(text.encode()).decode() for text in (user_info, unquote(user_info)))
        protect(name, user_info, *encoded, *in_user_info)
    if in_path:
        protect(name, parts.path, parts.path.rstrip("/"), *in_path)
    if in_query:
        protect(name, f"{parts.path}?{parts.query}", parts.query, *in_query)
    if in_user_info or in_path or in_query:
        protect(name, address, address.rstrip("/"))


def redact(text: str) -> str:
    """`text` with the names of secrets in place of their values."""
    for value in _VAULT.values.values():
        if value.core in text:
            text = value.pattern.sub(lambda _, name=value.name: name, text)  # type: ignore[misc]
    return text


def redact_body(body: bytes) -> bytes:
    """The same for what a venue sent, where only values of SHORTEST_IN_BODY characters or more are looked for."""
    for value in _VAULT.values.values():
        if value.length >= SHORTEST_IN_BODY and value.core.encode() in body:
            body = value.in_bytes.sub(lambda _, name=value.name: name.encode(), body)  # type: ignore[misc]
    return body


def redact_values(value: Any) -> Any:
    """`value` with every text in it redacted: dictionaries, lists and tuples are followed."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact_values(name): redact_values(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(redact_values(part) for part in value) if type(value) in (list, tuple) else value
    return value


class RedactedError(Exception):
    """Stands in a chain of causes for an error whose own text shows a secret."""


def redact_error(error: BaseException) -> BaseException:
    """Redact the texts of an error, of its notes and of the whole chain behind it, in place, and return it.

    An error that words its text from elsewhere, as those of HTTP libraries do from the request, is replaced.
    """
    return error if not _VAULT.values else _clean(error, set())


def _redact_chain(error: BaseException, seen: set[int]) -> None:
    if id(error) in seen:
        return
    seen.add(id(error))
    error.args = redact_values(error.args)
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = redact_values(list(notes))
    cause, context = error.__cause__, error.__context__
    suppressed = error.__suppress_context__
    if cause is not None:
        error.__cause__ = _clean(cause, seen)
    if context is not None:
        error.__context__ = error.__cause__ if context is cause else _clean(context, seen)
    error.__suppress_context__ = suppressed
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            _redact_chain(part, seen)


def _clean(error: BaseException, seen: set[int]) -> BaseException:
    _redact_chain(error, seen)
    shown = f"{error} {error!r}"
    if redact(shown) == shown:
        return error
    stand_in = RedactedError(f"{type(error).__name__}: {redact(str(error))}").with_traceback(error.__traceback__)
    stand_in.__cause__, stand_in.__context__ = error.__cause__, error.__context__
    return stand_in


def format_error(error: BaseException) -> str:
    """The traceback of an error as text, redacted."""
    return redact("".join(traceback.format_exception(error)))


def install() -> None:
    """Redact what this process logs, and the traceback it may die with."""
    make = logging.getLogRecordFactory()
    if getattr(make, "is_redacting", False):
        return

    def make_redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return _redact_record(make(*args, **kwargs))

    make_redacted.is_redacting = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_redacted)
    report, report_thread = sys.excepthook, threading.excepthook

    def crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not _wrote_redacted(error):
            report(kind, error, trace)

    def crash_of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or not _wrote_redacted(args.exc_value):
            report_thread(args)

    sys.excepthook, threading.excepthook = crash, crash_of_thread


def _wrote_redacted(error: BaseException) -> bool:
    """Write the traceback of an error to standard error if it shows a secret; return whether it does."""
    text = "".join(traceback.format_exception(error))
    shows_secret = redact(text) != text
    if shows_secret:
        sys.stderr.write(redact(text))
    return shows_secret


def _redact_record(record: logging.LogRecord) -> logging.LogRecord:
    if not _VAULT.values:
        return record
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A message that does not fit its arguments, which logging would print beside it.
        record.msg, record.args = redact(f"{record.msg} {record.args}"), ()
    else:
        if (clean := redact(message)) != message:
            record.msg, record.args = clean, ()
    if record.exc_info and record.exc_info[1] is not None:
        error = redact_error(record.exc_info[1])
        record.exc_info = (type(error), error, record.exc_info[2])
        # Formatters use the text where there is one.
        record.exc_text = format_error(error).rstrip("\n")
    return record


def _spellings(character: str) -> str:
    """A pattern of a character as it may be echoed: as it is, percent-encoded, in JSON or a Python text, in HTML."""
    if character.isascii() and character.isalnum():
        return character
    percent = "".join(f"%{byte:02x}" for byte in character.encode())
    code = ord(character)
    ways = [rf"\\*{re.escape(character)}", f"(?i:{percent})", rf"(?i:\\+u{code:04x})", rf"(?i:\\+x{code:02x})"]
    ways += [rf"(?i:&#x0*{code:x};)", f"&#0*{code};", re.escape(html.escape(character))]
    return f"(?:{'|'.join(ways)}{'|[+]' if character == ' ' else ''})"


def _is_public(part: str, known: frozenset[str]) -> bool:
    return all(
        not word or word in PUBLIC_WORDS or word in known or _VERSION.fullmatch(word)
        for word in _PARTS.split(part.lower())
    )
