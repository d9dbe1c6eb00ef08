"""Numbers as they are written for people: currency signs, percent, thousands, decimal commas, suffixes. Expressions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

_CURRENCY: Final = r"(?:[$€£¥₿]|USD[TC]?|EUR|GBP)"
_SUFFIXES: Final = {"k": 1e3, "m": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9, "t": 1e12, "tn": 1e12}


def cleaned(text: pl.Expr, ways: Sequence[str]) -> pl.Expr:
    """The number of `text` as Float64, null where it is not written in these ways. Nothing else is taken off: a comma that groups
    no thousands stays a fault."""
    text = text.str.strip_chars()
    factor = pl.lit(1.0)
    if "currency" in ways:
        text = text.str.replace(rf"^([+-]?)\s*{_CURRENCY}\s*", "$1").str.replace(rf"\s*{_CURRENCY}$", "")
    if "percent" in ways:
        signed = text.str.ends_with("%")
        text = pl.when(signed).then(text.str.strip_suffix("%").str.strip_chars_end())
        factor = factor / 100
    if "suffix" in ways:
        word = text.str.extract(r"([a-zA-Z]*)$", 1).str.to_lowercase()
        text = text.str.replace(r"\s*[a-zA-Z]*$", "")
        factor = factor * word.replace_strict({"": 1.0, **_SUFFIXES}, default=None, return_dtype=pl.Float64)
    group, point = (r"[.  ']", ",") if "decimal_comma" in ways else (r"[,  _']", r"\.")
    if "thousands" in ways:
        grouped = text.str.contains(rf"^[+-]?\d{{1,3}}(?:{group}\d{{3}})+(?:{point}\d+)?$")
        text = pl.when(grouped).then(text.str.replace_all(group, "")).otherwise(text)
    if "decimal_comma" in ways:
        text = pl.when(~text.str.contains(r"\.")).then(text.str.replace(",", ".", literal=True))
    return text.cast(pl.Float64, strict=False) * factor


_WRITTEN: Final = {
    "thousands": r"^[+-]?[$€£]?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?$", "decimal_comma": r"^[+-]?\d+,\d+$",
    "percent": r"^[+-]?[\d.]+\s*%$", "suffix": r"(?i)^[+-]?[$€£]?[\d.,]+\s*(?:[kmbt]|[mbt]n)$",
    "currency": rf"^(?:[+-]?\s*{_CURRENCY}\s*[\d.,]+[KMBTkmbt]?|[+-]?[\d.,]+\s*{_CURRENCY})$",
}  # fmt: skip


def hint(text: pl.Expr) -> pl.Expr:
    """What `clean` a cell that is no number asks for, as the end of a message; empty where none fits."""
    ways = pl.concat_str(
        (
            pl.when(text.str.contains(shape)).then(pl.lit(f'"{way}", ')).otherwise(pl.lit(""))
            for way, shape in _WRITTEN.items()
        )
    ).str.strip_suffix(", ")
    return (
        pl.when(ways == "")
        .then(pl.lit(""))
        .otherwise(pl.format("; if it is written for people, give clean = [{}]", ways))
    )
