"""Names in a file to a venue's symbols, by the [[instrument]] rules of the mapping, and the rows of clean.instruments.

Which asset a symbol carries is pipelines.universe; nothing here reads files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import polars as pl

from pipelines.sources.files_mapping import Instrument
from pipelines.sources.files_records import LINE
from pipelines.universe import asset_unit, canonical_asset, is_safe_symbol

VALID_FROM: Final = datetime(1970, 1, 1)
"""Files do not say since when a contract size holds."""

_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True)
class Resolved:
    """An instrument as a rule of the mapping describes it."""

    venue: str
    symbol: str
    asset: str
    multiplier: float
    quote: str
    rule: Instrument


@dataclass
class InstrumentBook:
    """What the names of one landing turned out to be. Keeps, per instrument, the first line and the earliest
    availability of its accepted rows, from which the rows of clean.instruments are made."""

    rules: Sequence[Instrument]
    _names: dict[str, Resolved | None] = field(default_factory=dict)
    _seen: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)

    def resolve(self, venues: pl.Series | str, names: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The venue's symbol of every name (null where no rule knows it), and the contract size in base (or null)."""
        keys: pl.Series = venues + _SEPARATOR + names
        distinct = keys.drop_nulls().unique().to_list()
        for key in distinct:
            if key not in self._names:
                self._names[key] = self._match(*key.split(_SEPARATOR, 1))
        found = {key: self._names[key] for key in distinct}
        symbols = {key: one.symbol for key, one in found.items() if one}
        sizes = {
            key: one.rule.contract_size for key, one in found.items() if one and one.rule.contract_size_unit == "base"
        }
        return _looked_up(keys, symbols, pl.String()), _looked_up(keys, sizes, pl.Float64())

    def saw(self, rows: pl.DataFrame) -> None:
        """Note the accepted `rows` (venue, instrument, available_at, _line)."""
        first = rows.group_by("venue", "instrument").agg(pl.col(LINE).min(), pl.col("available_at").min())
        for venue, symbol, line, available in first.iter_rows():
            held = self._seen.get((venue, symbol))
            if held is not None:
                line, available = min(held[0], line), min(held[1], available)
            self._seen[venue, symbol] = (line, available)

    def rows(self) -> pl.DataFrame:
        """One row of clean.instruments per instrument with accepted rows, in the order of venue and symbol."""
        known = {(one.venue, one.symbol): one for one in self._names.values() if one}
        return pl.DataFrame(
            [
                {
                    "venue": one.venue,
                    "instrument": one.symbol,
                    "valid_from": VALID_FROM,
                    "asset": one.asset,
                    "quote": one.quote,
                    "contract_type": one.rule.contract_type,
                    "contract_size": one.rule.contract_size,
                    "contract_size_unit": one.rule.contract_size_unit,
                    "multiplier": one.multiplier,
                    "available_at": available,
                    LINE: line,
                    "_field": None,
                }
                for (venue, symbol), (line, available) in sorted(self._seen.items())
                if (one := known.get((venue, symbol))) is not None
            ],
            schema_overrides={
                "contract_size": pl.Float64(),
                "contract_size_unit": pl.String(),
                LINE: pl.Int64(),
                "_field": pl.String(),
                "valid_from": pl.Datetime("us"),
                "available_at": pl.Datetime("us"),
            },
        )

    def _match(self, venue: str, name: str) -> Resolved | None:
        for rule in self.rules:
            if rule.venue != venue or (match := re.fullmatch(rule.name, name)) is None:
                continue
            groups = {"name": name, **{key: text or "" for key, text in match.groupdict().items()}}
            symbol = rule.symbol.format_map(groups)
            unit = asset_unit(rule.base.format_map(groups))
            if not is_safe_symbol(symbol) or not unit.asset:
                return None
            quote = canonical_asset(rule.quote.format_map(groups))
            return Resolved(venue, symbol, unit.asset, unit.multiplier, quote, rule)
        return None


def _looked_up(
    keys: pl.Series, table: dict[str, object] | dict[str, str] | dict[str, float | None], dtype: pl.DataType
) -> pl.Series:
    if not table:
        return pl.Series(keys.name, [None] * len(keys), dtype=dtype)
    return keys.replace_strict(list(table), list(table.values()), default=None, return_dtype=dtype)
