"""Answers of every feed of every exchange and of every kind of chain feed, and ways in which they can be wrong.

An answer comes from the venue's emulator, whose shapes are those of recorded samples (tests/sandbox/test_emulator_samples.py).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

import orjson
import polars as pl

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.settings import Settings
from pipelines.extract.venue import Api, Context, Feed, Job, Page, Span
from pipelines.sources import registry
from pipelines.sources.account import Account, Counts
from pipelines.sources.instruments import TURNOVER, InstrumentHistory
from pipelines.sources.reading import AnswerReader, read_pages
from tests.sources.chain_cases import CHAIN_CASES, DAY, ChainCase
from tests.sources.in_process import fetch_pages
from tests.sources.test_pages import in_process_api, instruments
from tests.sources.venue_case import VenueCase
from tests.sources.venue_cases import VENUE_CASES


@dataclass(frozen=True)
class Fuzzed:
    """A feed whose answers are changed: they are about `span` and came at `now`; `instruments` are those its parser knows."""

    venue: str
    feed: Feed
    span: Span
    now: datetime
    pages: Callable[[], Sequence[Page]]
    instruments: Callable[[], pl.DataFrame]


def of_exchange(case: VenueCase, feed: Feed) -> Fuzzed:
    span = span_of(case, feed)
    return Fuzzed(
        case.venue, feed, span, case.now, partial(pages_of_one, case, feed, span), partial(instruments, case.venue)
    )


def of_chain(case: ChainCase) -> Fuzzed:
    feed = registry.venue(case.venue).feed(case.feed)
    return Fuzzed(case.venue, feed, DAY, case.now, case.pages, InstrumentHistory.none)


def span_of(case: VenueCase, feed: Feed) -> Span:
    """The day of the case or the last that is published, or the month before it where a feed has whole months."""
    day = min(case.day, (case.now - feed.published_after).date() - timedelta(days=2))
    if feed.partitioning.months != "only":
        return Span.of_days(day, day)
    last = day.replace(day=1) - timedelta(days=1)
    return Span.of_days(last.replace(day=1), last)


def pages_of_one(case: VenueCase, feed: Feed, span: Span) -> list[Page]:
    """The answers about one subject."""
    listed = instruments(case.venue).filter(pl.col("asset").is_in(list(case.assets)))
    subjects: Mapping[str, Mapping[str, Any]] = {"*": {}} if feed.subjects is None else feed.subjects(listed)
    jobs = [Job(name, span, row) for name, row in list(subjects.items())[:1]]
    return [page for job in jobs for page in fetch_pages(feed, in_process_api(case), job)]


FEEDS: Final[Mapping[str, Fuzzed]] = {
    **{
        f"{case.venue}.{feed.name}": of_exchange(case, feed)
        for case in VENUE_CASES
        for feed in registry.venue(case.venue).feeds
        if feed.name != TURNOVER
    },
    **{name: of_chain(case) for name, case in CHAIN_CASES.items()},
}

Mutation = Callable[[random.Random, bytes], bytes]


@cache
def contract() -> Contract:
    return load_contract(Settings.load().schema_dir)


@cache
def answers(source: str) -> tuple[Page, ...]:
    """The pages of the feed's day, of one subject."""
    return tuple(FEEDS[source].pages())


def context(source: str) -> Context:
    of = FEEDS[source]
    return Context(of.venue, of.now, of.span, of.instruments())


def reader(source: str) -> AnswerReader:
    """Reads the feed's answers as a fetch does."""
    of = FEEDS[source]
    known = of.instruments()
    return AnswerReader(contract(), registry.venue(of.venue), of.feed, lambda span: known, lambda: "1")


@dataclass(frozen=True)
class Read:
    """What a load makes of pages: distinct rows by table, how many rejects, and the account of the records."""

    rows: Mapping[str, pl.DataFrame]
    rejects: int
    counts: Counts


def read(source: str, pages: Sequence[Page]) -> Read:
    """Parse pages as a load does."""
    account, tables, rejects = Account(), dict[str, list[pl.DataFrame]](), 0
    for one in read_pages(contract(), FEEDS[source].feed, pages, context(source), account):
        tables.setdefault(one.table, []).append(one.rows.drop("_line"))
        rejects += 0 if one.rejects is None else one.rejects.height
    return Read({name: pl.concat(frames).unique() for name, frames in tables.items()}, rejects, account.total())


def changed(pages: Sequence[Page], change: Callable[[bytes], bytes]) -> list[Page]:
    """The pages with other bodies."""
    return [replace(page, body=change(page.body)) for page in pages]


@dataclass(eq=False)
class ChangedApi:
    """An Api whose answers about `subjects` are changed."""

    api: Api
    change: Callable[[bytes], bytes]
    subjects: Collection[str]

    @property
    def endpoints(self) -> Collection[str]:
        return self.api.endpoints

    @property
    def node_blocks(self) -> int | None:
        return self.api.node_blocks

    async def get(self, path: str, *, subject: str = "*", **more: Any) -> Page:
        return self._changed(await self.api.get(path, subject=subject, **more))

    async def post(self, path: str, *, subject: str = "*", **more: Any) -> Page:
        return self._changed(await self.api.post(path, subject=subject, **more))

    def _changed(self, page: Page) -> Page:
        return replace(page, body=self.change(page.body)) if page.subject in self.subjects else page


# Ways to be wrong

SECONDS: Final = (1_200_000_000, 2_200_000_000)
ISO: Final = re.compile(r"^20\d\d-\d\d-\d\d[T ]\d\d:\d\d")


def is_stamp(value: Any) -> bool:
    """Whether a value is a time: seconds, milliseconds or microseconds since 1970, as a number or a text, or ISO 8601."""
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return False
    if isinstance(value, str):
        return bool(ISO.match(value)) or (value.isdigit() and is_stamp(int(value)))
    return any(SECONDS[0] * unit <= value <= SECONDS[1] * unit for unit in (1, 1000, 1_000_000))


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """JSON with every value replaced by `change` of it, from the leaves up."""
    if isinstance(value, dict):
        return change({key: mapped(inner, change) for key, inner in value.items()})
    return change([mapped(inner, change) for inner in value] if isinstance(value, list) else value)


def documents(body: bytes) -> list[Any] | None:
    """The JSON document of a body, or that of each of its lines; None if it has neither."""
    try:
        return [orjson.loads(body)]
    except orjson.JSONDecodeError:
        pass
    try:
        return [orjson.loads(line) for line in body.splitlines()] or None
    except orjson.JSONDecodeError:
        return None


def written(content: Sequence[Any]) -> bytes:
    """The body of documents, each in a line of its own."""
    return b"\n".join(orjson.dumps(one) for one in content)


def of_json(change: Callable[[Any], Any]) -> Mutation:
    """A mutation of JSON; other bodies are cut instead."""

    def mutate(_: random.Random, body: bytes) -> bytes:
        content = documents(body)
        return body[: len(body) // 2] if content is None else written([change(one) for one in content])

    return mutate


def of_stamps(change: Callable[[Any], Any]) -> Mutation:
    return of_json(lambda content: mapped(content, lambda value: change(value) if is_stamp(value) else value))


def scaled(factor: float) -> Callable[[Any], Any]:
    def scale(value: Any) -> Any:
        if isinstance(value, str):
            return str(int(int(value) * factor)) if value.isdigit() else value.replace("20", "58", 1)
        return int(value * factor)

    return scale


def year_58000(value: Any) -> Any:
    stamp = 1_768_000_000_000
    if not isinstance(value, str):
        return stamp * (1000 if value > SECONDS[1] else 1)
    return str(stamp * 1000) if value.isdigit() else f"58000{value[4:]}"


def emptied(content: Any) -> Any:
    return mapped(content, lambda value: [] if isinstance(value, list) else value)


def renamed(content: Any) -> Any:
    return mapped(
        content,
        lambda value: {f"{key}_v2": inner for key, inner in value.items()} if isinstance(value, dict) else value,
    )


def doubled(content: Any) -> Any:
    """Every list of records twice over."""

    def twice(value: Any) -> Any:
        has_records = isinstance(value, list) and value and all(isinstance(one, dict | list) for one in value)
        return value * 2 if has_records and isinstance(value[0], dict) else value

    return mapped(content, twice)


PLAIN: Final = re.compile(r"-?\d{1,15}(\.\d+)?")


def as_text(value: Any) -> Any:
    return repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def as_number(value: Any) -> Any:
    return (
        orjson.loads(value)
        if isinstance(value, str) and PLAIN.fullmatch(value) and value == value.lstrip("0")
        else value
    )


def as_decimal(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value


def with_odd_records(value: Any) -> Any:
    """A list of records with one of another kind behind them, and one that is none."""
    has_records = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    return [*value, {"kind": "odd"}, None] if has_records else value


FORMS: Final[Mapping[str, Mutation]] = {
    name: of_json(partial(mapped, change=change))
    for name, change in (
        ("numbers as texts", as_text),
        ("texts as numbers", as_number),
        ("whole numbers as decimals", as_decimal),
        ("odd records among the others", with_odd_records),
    )
}
"""The same values in another form, as venues have changed it, or beside records of another kind."""

STAMPS: Final[Mapping[str, Mutation]] = {
    "stamps times 1000": of_stamps(scaled(1000)),
    "stamps by 1000": of_stamps(scaled(0.001)),
    "stamps as text": of_stamps(lambda value: f"at {value}"),
    "year 58,000": of_stamps(year_58000),
    "stamps null": of_stamps(lambda value: None),
}
SHAPES: Final[Mapping[str, Mutation]] = {
    "renamed keys": of_json(renamed),
    "an error object": lambda _, body: b'{"error": {"code": 77, "message": "no"}}',
    "HTML": lambda _, body: b"<!doctype html><html><body>Just a moment...</body></html>",
    "truncated": lambda _, body: body[: len(body) * 2 // 3],
    "nothing": lambda _, body: b"",
}
ODD: Final[Mapping[str, Mutation]] = {"lists emptied": of_json(emptied), "doubled": of_json(doubled)}

ODD_VALUES: Final[tuple[Any, ...]] = (
    None, True, "", "n/a", "NaN", "1e400", -1, 0, 1e308, 2**63, 10**30, [], {}, [[]], {"a": 1}, "\x1b[31m", "\u0000", " 5 ",
    "9999-12-31T23:59:59Z", "58000-01-01", 1_768_000_000_000_000,
)  # fmt: skip


def mutated(chance: random.Random, body: bytes) -> bytes:
    """A body with a few random faults: bytes flipped or cut, or values of its JSON replaced, dropped, repeated or swapped."""
    content = documents(body)
    if content is None or chance.random() < 0.1:
        return flipped(chance, body)
    for _ in range(chance.choice((1, 1, 2, 5))):
        places = list(places_of(content if len(content) > 1 else content[0]))
        if not places:
            break
        holder, key = chance.choice(places)
        match chance.randrange(4):
            case 0:
                holder[key] = deepcopy(chance.choice(ODD_VALUES))
            case 1 if isinstance(holder, list):
                holder.insert(key, holder[key])
            case 2 if isinstance(holder, dict):
                holder[f"{key}2"] = holder.pop(key)
            case _:
                del holder[key]
    whole = [
        mapped(one, lambda value: str(value) if isinstance(value, int) and value > 2**64 - 1 else value)
        for one in content
    ]
    return written(whole)


def flipped(chance: random.Random, body: bytes) -> bytes:
    """A body with bytes changed, or without its end."""
    if not body or chance.random() < 0.3:
        return body[: chance.randrange(len(body) + 1)]
    changed_bytes = bytearray(body)
    for _ in range(chance.choice((1, 3, 20))):
        changed_bytes[chance.randrange(len(body))] = chance.randrange(256)
    return bytes(changed_bytes)


def places_of(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a JSON document: its holder, and the key or index in it."""
    stack = [content]
    while stack:
        holder = stack.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            stack.append(holder[key])
