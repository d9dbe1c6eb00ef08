"""Redaction: the one place that keeps secrets out of texts.

Keys of venues, and what an address in the settings may hold as one (path, query, user info), are protected by value: whoever
reads a setting calls `protect` or `protect_address`, and whatever leaves the process as text passes `redact`. Values are found
in every spelling an echo may have: percent-encoded, in JSON, in HTML, in a header of basic authentication.
"""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

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


@dataclass
class _Vault:
    """The protected values and what stands in their place."""

    values: dict[str, str] = field(default_factory=dict)
    text_pattern: re.Pattern[str] | None = None
    in_bodies: tuple[tuple[bytes, bytes], ...] = ()
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, values: Mapping[str, str]) -> None:
        new = {value: name for value, name in values.items() if value not in self.values}
        if not new:
            return
        with self.lock:
            # Longest first: an address is replaced before the key in it.
            found = {**self.values, **new}
            self.values = dict(sorted(found.items(), key=lambda item: (-len(item[0]), item[0])))
            self.in_bodies = tuple(
                (value.encode(), name.encode()) for value, name in self.values.items() if len(value) >= SHORTEST_IN_BODY
            )
            self.text_pattern = re.compile("|".join(map(re.escape, self.values)))


_VAULT: Final = _Vault()


def protect(name: str, *values: str) -> None:
    """Replace `values` by [name] in everything redacted from now on. Too short ones, which any text contains, are not."""
    spellings = (spelling for value in values for spelling in _spellings(value.strip()))
    _VAULT.add({spelling: f"[{name}]" for spelling in spellings if len(spelling) >= SHORTEST_IN_TEXT})


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
    pattern = _VAULT.text_pattern
    return pattern.sub(lambda found: _VAULT.values[found[0]], text) if pattern else text


def redact_body(body: bytes) -> bytes:
    """The same for what a venue sent, where only values of SHORTEST_IN_BODY characters or more are looked for."""
    for value, name in _VAULT.in_bodies:
        if value in body:
            body = body.replace(value, name)
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
    return error if _VAULT.text_pattern is None else _clean(error, set())


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
    if _VAULT.text_pattern is None:
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


def _spellings(value: str) -> Iterator[str]:
    """A value as it may be echoed."""
    plain = {value, unquote(value), unquote_plus(value)}
    for text in sorted(plain):
        yield text
        yield from (quote(text), quote(text, safe=""), quote_plus(text))
        yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace("/", "\\/"))
        yield html.escape(text)
        yield repr(text)[1:-1]


def _is_public(part: str, known: frozenset[str]) -> bool:
    return all(
        not word or word in PUBLIC_WORDS or word in known or _VERSION.fullmatch(word)
        for word in _PARTS.split(part.lower())
    )
