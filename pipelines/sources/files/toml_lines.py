"""Where a key of a TOML file stands: line numbers of tables, keys and keys of inline tables, for messages about a mapping.

The standard library's parser gives no positions. This reads only headers and keys of a text that it has parsed already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_HEADER: Final = re.compile(r"^\s*(?P<open>\[\[?)(?P<name>[^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY: Final = re.compile(r"""(?P<key>[A-Za-z0-9_-]+|"[^"]*"|'[^']*')\s*=(?!=)""")
_STRING: Final = re.compile(
    r'"""(?:.|\n)*?"""' + r"|'''(?:.|\n)*?'''" + r'|"(?:\\.|[^"\\\n])*"' + r"|'[^'\n]*'|#[^\n]*"
)

Place = tuple[str | int, ...]


def places(text: str) -> Mapping[Place, int]:
    """The line of every table and key: names, and numbers from 0 of the tables in a list."""
    return dict(_keys(text))


def _keys(text: str) -> Iterator[tuple[Place, int]]:
    """Every table and key with its line; the first of several."""
    seen: set[Place] = set()
    counts: dict[Place, int] = {}
    table: Place = ()
    # The place of each open bracket: an inline table, or None for a list.
    open_: list[Place] = []
    last: Place = ()
    for number, line in enumerate(_without_strings(text).split("\n"), start=1):
        header = None if open_ else _HEADER.match(line)
        if header is not None:
            table = _table([part.strip().strip("\"'") for part in header["name"].split(".")], header["open"], counts)
            if table not in seen:
                seen.add(table)
                yield table, number
            continue
        position = 0
        while position < len(line):
            key = _KEY.match(line, position)
            if key is not None:
                last = (*(open_[-1] if open_ else table), key["key"].strip("\"'"))
                if last not in seen:
                    seen.add(last)
                    yield last, number
                position = key.end()
                continue
            character = line[position]
            if character in "[{":
                # Of tables in a list: the number of this one.
                inside = bool(open_) and open_[-1] == last
                counts[last] = counts.get(last, -1) + 1 if inside and character == "{" else -1
                open_.append((*last, counts[last]) if inside and character == "{" else last)
            elif character in "]}" and open_:
                closed = open_.pop()
                last = closed[:-1] if closed and isinstance(closed[-1], int) else closed
            position += 1


def _table(names: Sequence[str], opening: str, counts: dict[Place, int]) -> Place:
    """The place of a header: the parts before the last name are in the newest table of their list."""
    place: Place = ()
    for number, name in enumerate(names):
        place = (*place, name)
        if opening == "[[" and number == len(names) - 1:
            counts[place] = counts.get(place, -1) + 1
            for inner in [x for x in counts if len(x) > len(place) and x[: len(place)] == place]:
                if inner[len(place)] == counts[place]:
                    del counts[inner]
        if place in counts and counts[place] >= 0:
            place = (*place, counts[place])
    return place


def _without_strings(text: str) -> str:
    """The text with the same lines, and every string but a quoted key, and every comment, blanked out."""

    def blank(found: re.Match[str]) -> str:
        rest = text[found.end() : found.end() + 40].lstrip(" \t")
        if not found[0].startswith("#") and rest.startswith("=") and "\n" not in found[0]:
            return found[0]
        return re.sub(r"[^\n]", " ", found[0])

    return _STRING.sub(blank, text)
