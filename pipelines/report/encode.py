"""Columns as compact JSON in plain script files, which a page opened from a file can load. Knows no table and no chart.

A daily column is an array on the asset's days, null where not known. Numbers have seven significant digits, words are one
character a day, long texts are run-length encoded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

DIGITS: Final = 7
CODES: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
UNKNOWN: Final = "."

Floats = NDArray[np.float64]

_WHOLE: Final = re.compile(rb"\.0(?=[,\]])")


def rounded(values: Floats) -> Floats:
    """`values` to seven significant digits; NaN stays NaN, what is infinite becomes NaN."""
    out = np.where(np.isfinite(values), values, np.nan)
    known = np.flatnonzero(np.isfinite(out) & (out != 0))
    if known.size:
        exponent = np.floor(np.log10(np.abs(out[known]))).astype(np.int64)
        # Powers of ten up to 22 are exact; a negative exponent divides by one, which keeps the result correctly rounded.
        places = np.clip(DIGITS - 1 - exponent, -22, 22)
        up = np.power(10.0, np.abs(places))
        with np.errstate(over="ignore"):  # of the branch that is not taken
            out[known] = np.where(places >= 0, np.round(out[known] * up) / up, np.round(out[known] / up) * up)
    return out


def numbers(values: Floats) -> orjson.Fragment | None:
    """A column of numbers that are rounded already; None where it holds none."""
    if not np.isfinite(values).any():
        return None
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.Fragment(_WHOLE.sub(b"", text))


def words(values: Sequence[str | None]) -> dict[str, Any] | None:
    """A column of few distinct values; None where it holds none. Raises ValueError beyond what one character can tell."""
    distinct = sorted({value for value in values if value is not None})
    if not distinct:
        return None
    if len(distinct) > len(CODES):
        raise ValueError(f"{len(distinct)} distinct words, at most {len(CODES)} fit")
    code = {value: CODES[number] for number, value in enumerate(distinct)}
    return {"u": distinct, "c": "".join(UNKNOWN if value is None else code[value] for value in values)}


def texts(values: Sequence[str | None]) -> list[Any] | None:
    """Runs of equal values as [length, value, length, value, ...]; None where the column holds none."""
    runs: list[Any] = []
    for value in values:
        if runs and runs[-1] == value:
            runs[-2] += 1
        else:
            runs += [1, value]
    return None if runs in ([], [len(values), None]) else runs


def script(key: str, build: str, value: Mapping[str, Any]) -> bytes:
    """A script that hands `value` to the page. `build` tells the page whether the file belongs to it.

    No markup can begin inside a string, also where the script is put into a page.
    """
    body = (
        orjson.dumps(value)
        .replace(b"<", b"\\u003c")
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
    )
    return b"LH.put(" + orjson.dumps(key) + b"," + orjson.dumps(build) + b"," + body + b");\n"


def slug(asset: str) -> str:
    """A file name for any asset: its letters and digits, and six digits of its digest, so that no two are alike."""
    plain = re.sub(r"[^a-z0-9]", "", asset.lower())[:24]
    return f"{plain}-{hashlib.sha256(asset.encode()).hexdigest()[:6]}"
