"""Maps names in a file to a venue's symbols by the mapping's [[instrument]] rules, and builds rows of clean.instruments.

Mapping symbols to assets is in pipelines.core.universe; nothing here reads files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import polars as pl

from pipelines.core.limits import current, exceeded
from pipelines.core.universe import asset_unit, canonical_asset, is_safe_symbol
from pipelines.sources.files.mapping import Instrument
from pipelines.sources.files.patterns import Groups, full_matches
from pipelines.sources.files.records import LINE

VALID_FROM: Final = datetime(1970, 1, 1)
"""Files do not state since when a contract size is valid."""

_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True)
class Resolved:
    """An instrument resolved by a rule of the mapping."""

    venue: str
    symbol: str
    asset: str
    multiplier: float
    quote: str
    rule: Instrument


@dataclass
class InstrumentBook:
    """Resolved names of one landing. Tracks the first line and the earliest availability of each instrument's accepted rows, from
    which the rows of clean.instruments are built."""

    rules: Sequence[Instrument]
    _names: dict[tuple[str, str], Resolved | None] = field(default_factory=dict)
    _seen: dict[tuple[str, str], tuple[int, datetime]] = field(default_factory=dict)

    def resolve(self, venues: pl.Series | str, names: pl.Series) -> tuple[pl.Series, pl.Series]:
        """The venue's symbol of every name (null if no rule matches) and the contract size in base units (or null)."""
        keys = names if isinstance(venues, str) else venues + _SEPARATOR + names
        symbols: dict[str, str] = {}
        sizes: dict[str, float] = {}
        wanted = [
            (
                key,
                (venues, key)
                if isinstance(venues, str)
                else (key.partition(_SEPARATOR)[0], key.partition(_SEPARATOR)[2]),
            )
            for key in keys.drop_nulls().unique().to_list()
        ]
        self._learn(place for _, place in wanted)
        for key, place in wanted:
            one = self._names[place]
            if one is not None:
                symbols[key] = one.symbol
                if one.rule.contract_size is not None and one.rule.contract_size_unit == "base":
                    sizes[key] = one.rule.contract_size
        return _looked_up(keys, symbols, pl.String()), _looked_up(keys, sizes, pl.Float64())

    def record(self, rows: pl.DataFrame) -> None:
        """Record the accepted `rows` (venue, instrument, available_at, _line)."""
        venues = rows["venue"].unique().to_list()
        for venue in venues:
            of_venue = rows if len(venues) == 1 else rows.filter(pl.col("venue") == venue)
            first = of_venue.group_by("instrument").agg(pl.col(LINE).min(), pl.col("available_at").min())
            for symbol, line, available in first.iter_rows():
                held = self._seen.get((venue, symbol), (line, available))
                self._seen[venue, symbol] = (min(held[0], line), min(held[1], available))

    def rows(self) -> pl.DataFrame:
        """One row of clean.instruments per instrument with accepted rows, ordered by venue and symbol."""
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

    def _learn(self, places: Iterable[tuple[str, str]]) -> None:
        """Resolve new names of venues: each by the first rule that matches it."""
        open_ = [place for place in places if place not in self._names]
        if len(self._names) + len(open_) > current().landing_names:
            names = f"{len(self._names) + len(open_):,} different names so far"
            raise exceeded("instruments", "landing_names", names, advice="Is the right column named as instrument?")
        for rule in self.rules:
            tried = [place for place in open_ if place[0] == rule.venue]
            found = full_matches(rule.name, [name for _, name in tried], place=f"[[instrument]] of {rule.venue}")
            for place, groups in zip(tried, found, strict=True):
                if groups is not None:
                    self._names[place] = _resolved(rule, place[1], groups)
            open_ = [place for place in open_ if place not in self._names]
        self._names.update(dict.fromkeys(open_))


def _resolved(rule: Instrument, name: str, found: Groups) -> Resolved | None:
    groups = {"name": name, **{key: text or "" for key, text in found.items()}}
    symbol = rule.symbol.format_map(groups)
    unit = asset_unit(rule.base.format_map(groups))
    if not is_safe_symbol(symbol) or not unit.asset:
        return None
    quote = canonical_asset(rule.quote.format_map(groups))
    return Resolved(rule.venue, symbol, unit.asset, unit.multiplier, quote, rule)


def _looked_up(keys: pl.Series, table: Mapping[str, object], dtype: pl.DataType) -> pl.Series:
    if not table:
        return pl.Series(keys.name, [None] * len(keys), dtype=dtype)
    return keys.replace_strict(list(table), list(table.values()), default=None, return_dtype=dtype)
