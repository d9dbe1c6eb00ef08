"""What nobody could verify without a live call: every fact that a module of pipelines/sources marks as open, by venue and feed.

Marks are "(?)" in comments and texts, feeds whose description says that their depth is unverified, and open interest whose
counting is unknown. Read from the sources of the modules, so that a mark that is settled and removed leaves the list by itself.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import re
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, Literal

from pipelines.extract.venue import Feed, Venue
from pipelines.sources.registry import VENUES, venue

Kind = Literal["mark", "depth", "counting"]

MARK: Final = "(?)"
UNVERIFIED: Final = re.compile(r"\bunverified\b")
_SENTENCE: Final = re.compile(r"(?<=\.)\s+|\n\s*\n")
_ROOT: Final = Path(__file__).parent


@dataclass(frozen=True)
class OpenFact:
    """A fact of a venue that only a live call can settle. `feed` is the one whose code states it; None: several, or the venue's
    limits, codes and streams. `place` is file and line, from the folder of sources on."""

    venue: str
    feed: str | None
    kind: Kind
    text: str
    place: str


def open_facts(name: str) -> tuple[OpenFact, ...]:
    """The open facts of the venue `name`, feed by feed, in the order of its code."""
    owner = venue(name)
    declared = [fact for feed in owner.feeds for fact in _declared(owner, feed)]
    order = {feed.name: number for number, feed in enumerate(owner.feeds)}
    return tuple(sorted([*_marked(owner), *declared], key=lambda fact: order.get(fact.feed or "", -1)))


def _declared(owner: Venue, feed: Feed) -> Iterator[OpenFact]:
    """What the declaration of a feed leaves open."""
    if UNVERIFIED.search(feed.description):
        text = f"its history begins on {feed.retention.since} or before"
        yield OpenFact(owner.name, feed.name, "depth", text, "")
    if feed.counting and feed.counting[-1].sides == "unknown":
        yield OpenFact(owner.name, feed.name, "counting", f"which sides it counts: {feed.counting[-1].known_by}", "")


def _marked(owner: Venue) -> Iterator[OpenFact]:
    functions = _functions(owner)
    for path in _files(owner.name):
        for first, last, text in _texts(path):
            for sentence in _open_sentences(text):
                of = {
                    feed
                    for (code, begin, end), feed in functions.items()
                    if code == path and begin <= last and first <= end
                }
                feed = of.pop() if len(of) == 1 else None
                yield OpenFact(owner.name, feed, "mark", sentence, f"{path.relative_to(_ROOT)}:{first}")


def _files(name: str) -> list[Path]:
    """The files of a venue: its package without what is a venue of its own there, or its module and those named after it."""
    file = _module_file(name)
    if file.stem != "venue":
        return [file, *sorted(file.parent.glob(f"{file.stem}_*.py"))]
    return sorted(set(file.parent.glob("*.py")) - {_module_file(other) for other in VENUES if other != name} | {file})


def _module_file(name: str) -> Path:
    return Path(inspect.getfile(importlib.import_module(VENUES[name].partition(":")[0])))


def _functions(owner: Venue) -> Mapping[tuple[Path, int, int], str]:
    """Lines of the functions that fetch and parse each feed; one of several feeds belongs to none."""
    found: dict[tuple[Path, int, int], set[str]] = {}
    for feed in owner.feeds:
        for function in (feed.fetch, feed.parse):
            place = _lines(function)
            if place is not None:
                found.setdefault(place, set()).add(feed.name)
    return {place: names.pop() for place, names in found.items() if len(names) == 1}


def _lines(function: Any) -> tuple[Path, int, int] | None:
    while isinstance(function, partial):
        function = function.func
    if not inspect.isfunction(function):
        return None
    lines, first = inspect.getsourcelines(function)
    return Path(inspect.getfile(function)), first, first + len(lines) - 1


@cache
def _texts(path: Path) -> Sequence[tuple[int, int, str]]:
    """First line, last line and text of every comment and string of a file; comments on consecutive lines are one text."""
    source = path.read_text(encoding="utf-8")
    comments: list[tuple[int, int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            text, line, is_whole = token.string.lstrip("# "), token.start[0], not token.line[: token.start[1]].strip()
            if comments and is_whole and comments[-1][1] == line - 1:
                comments[-1] = (comments[-1][0], line, f"{comments[-1][2]} {text}")
            else:
                comments.append((line, line, text))
    strings = [
        (node.lineno, node.end_lineno or node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return sorted([*comments, *strings])


def _open_sentences(text: str) -> Iterator[str]:
    if MARK not in text:
        return
    for sentence in _SENTENCE.split(text):
        if MARK in sentence:
            yield re.sub(r" ([,.:])", r"\1", " ".join(sentence.replace(MARK, "").split())).rstrip(".:;, ")
