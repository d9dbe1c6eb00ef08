"""Regular expressions of a mapping on texts of a file, in bounded time.

An engine without backtracking takes nearly all of them. Look-around and back-references need Python's, whose time has no bound
and which cannot be interrupted: it runs in a process of its own, which is ended after `pattern_seconds`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import current, exceeded

Groups = dict[str, str | None]
"""The named groups of a match; None: not part of it."""

LONGEST_TEXT: Final = 1_000
"""Characters of a text that a pattern is tried on: names have a few dozen, and a longer text matches nothing."""

# Python and the engine without backtracking read these differently.
_AMBIGUOUS: Final = re.compile(r"\\[<>ZzKX]|\\b\{|\(\?[a-zA-Z]*x")

_CHILD: Final = """
import json, re, sys
pattern, texts = json.load(sys.stdin)
match = re.compile(pattern).fullmatch
found = [match(text) for text in texts]
json.dump([None if one is None else one.groupdict() for one in found], sys.stdout)
"""


def full_matches(pattern: str, texts: Sequence[str], *, place: str) -> list[Groups | None]:
    """The named groups of each text that `pattern` matches as a whole, None for the others.

    Raises LimitError if a pattern that only Python's engine knows takes longer than `pattern_seconds`.
    """
    if not texts:
        return []
    tried = [text if len(text) <= LONGEST_TEXT else None for text in texts]
    if is_linear(pattern):
        column = pl.Series("text", tried, dtype=pl.String)
        whole = rf"\A(?:{pattern})\z"
        matched = column.str.contains(whole).fill_null(value=False).to_list()
        named = re.compile(pattern).groupindex
        if not named:
            return [{} if matches else None for matches in matched]
        groups = column.str.extract_groups(whole).to_list()
        return [
            {name: found[name] for name in named} if matches else None
            for matches, found in zip(matched, groups, strict=True)
        ]
    return _in_child(pattern, tried, place)


@lru_cache(maxsize=1_000)
def is_linear(pattern: str) -> bool:
    """Whether the engine without backtracking knows the pattern and reads it as Python does."""
    if _AMBIGUOUS.search(pattern):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        try:
            re.compile(pattern)
            pl.Series([""]).str.contains(rf"\A(?:{pattern})\z")
        except (FutureWarning, pl.exceptions.ComputeError):
            return False
    return True


def _in_child(pattern: str, texts: Sequence[str | None], place: str) -> list[Groups | None]:
    asked = [text for text in texts if text is not None]
    seconds = current().pattern_seconds
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD], input=json.dumps([pattern, asked]), capture_output=True, text=True,
            timeout=seconds, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise exceeded(
            place, "pattern_seconds", f"the regular expression {pattern!r} did not end",
            advice="Write it without repetitions inside repetitions.",
        ) from error  # fmt: skip
    except subprocess.CalledProcessError as error:
        raise SourceFormatError(
            f"{place}: the regular expression {pattern!r} failed ({error.stderr.strip().splitlines()[-1:]}). Simplify it."
        ) from error
    found = iter(json.loads(done.stdout))
    return [None if text is None else next(found) for text in texts]
