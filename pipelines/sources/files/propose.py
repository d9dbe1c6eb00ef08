"""Proposes a mapping for files that nobody has described: what the file says is read off it, what it cannot say is asked for.

Reading the beginning of a file is in samples.py; the built-in mappings, which are proposed where a file is a known vendor's, in
vendors/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from pipelines.core.errors import ConfigError
from pipelines.sources.files.check import load_mapping
from pipelines.sources.files.mapping import PERIODS, Time
from pipelines.sources.files.samples import Sample, sample_of
from pipelines.sources.files.times import to_instants
from pipelines.sources.files.vendors import vendor_mapping

Unit = Literal["usd", "base", "contracts", "percent", "fraction"]

TABLES: Final = ("open_interest", "funding_rates", "liquidation_totals", "candles", "long_short_ratios")
"""Tables that a mapping can be proposed for."""

_ABSENT: Final = ("", "NULL", "null", "None", "NaN", "nan", "N/A", "-")
_FORMATS: Final = (
    "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%Y-%m-%d %I-%p",
    "%Y-%m-%dD%H:%M:%S%.f", "%Y%m%d", "%d.%m.%Y", "%Y/%m/%d",
)  # fmt: skip
_TIME_NAMES: Final = re.compile(
    r"(?i)(open_?time|create_?time|calc_?time|block_time|timestamp.*|time.*|date.*|datetime|unix|ts(_.*)?|t|day)"
)
_API: Final = re.compile(r"aggregated_|global_account_|top_(account|position)_|(long|short)_liquidation_usd")
_SYMBOL: Final = re.compile(r"(?i)(symbol|instrument(_name|_id)?|product|pair|ticker|market|coin|asset)")
_SYMBOL_IN_NAME: Final = (
    r"(?:.*[^A-Z0-9])?(?P<symbol>[A-Z0-9]{2,}?(?:USDT|USDC|USD)(?:_PERP|_[0-9]{6}|-SWAP)?)(?:[^A-Z0-9].*)?"
)
"""A pair inside the name of a file, for example BTCUSDT-funding.csv."""
_COIN_MARGINED: Final = re.compile(r"(?i)[A-Z0-9]+USD_(PERP|\d{6})")
"""Names of Binance's contracts that are settled in the coin."""
_VENUE: Final = re.compile(r"(?i)(exchange(_name)?|venue)")
KNOWN_VENUES: Final = frozenset(
    ("binance", "bybit", "okx", "deribit", "gate", "kraken", "bitfinex", "bitmex", "hyperliquid", "dydx")
)
"""Venues that columns may be named after."""
_HEATMAP: Final = r"(?i)y_axis|liquidation_leverage_data"
_ROLLING: Final = r"(?i)(.*_)?24h(_.*)?|total24h|.*[a-z]24h"
_ROLLING_NAME: Final = r"(?i)(?<![a-z0-9])(24h|exchange_list|coin_list)(?![a-z0-9])"
_NO_VALUES: Final = rf"{_TIME_NAMES.pattern}|{_SYMBOL.pattern[4:]}|{_VENUE.pattern[4:]}|price|"


@dataclass(frozen=True)
class Answers:
    """What a file cannot say. None: not said; where it is needed, the proposal asks for it."""

    dataset: str | None = None
    table: str | None = None
    venue: str | None = None
    symbol: str | None = None
    period: str | None = None
    unit: Unit | None = None
    label: Literal["start", "end"] | None = None
    zone: str | None = None
    interval_hours: float | None = None
    absent_is: Literal["zero", "unknown"] | None = None
    vendor: str | None = None


def recognized(sample: Sample, name: str) -> str | None:
    """The built-in mapping of the vendor that `sample`, of the file `name`, is from; None if it is none of them.

    Raises ConfigError where the file may be from several, or is of a kind that cannot be imported.
    """
    columns = {column.lower() for column in sample.columns}
    if found := [x for x in sample.columns if re.fullmatch(_HEATMAP, x)]:
        raise ConfigError(
            f"{name}: column {found[0]!r} cannot be imported: a heatmap holds values of the vendor's model and no liquidations."
        )
    rolling = [x for x in sample.columns if re.fullmatch(_ROLLING, x)]
    kept = [x for x in sample.columns if x not in rolling and not re.fullmatch(_NO_VALUES, x)]
    if (rolling and not kept) or ("liq" in name.lower() and re.search(_ROLLING_NAME, name)):
        what = f"column {rolling[0]!r}" if rolling else "a sum of 24 hours"
        raise ConfigError(
            f"{name}: {what} cannot be imported: it rolls over 24 hours: increments cannot be had from it. Ask the vendor for"
            " the history by hour or day."
        )
    if {"tvlusd", "apy"} <= columns or "openinterestatend" in columns:
        raise ConfigError(
            f"{name}: DefiLlama's yields and totals hold no liquidations, and sums over all markets of a protocol are of no"
            " instrument: there is no table for them. Liquidations of loans are in Dune's lending.supply (--vendor dune)."
        )
    found_name = None
    if {"exchange", "symbol", "timestamp", "local_timestamp"} <= columns:
        if {"side", "amount"} <= columns and "_liquidations_" not in name:
            raise ConfigError(
                f"{name}: Tardis' liquidations and trades have the same header. If these are liquidations, give --vendor tardis,"
                " or name the file as it was downloaded (…_liquidations_…)."
            )
        found_name = "tardis"
    elif {"exchange", "coin", "product", "time"} <= columns:
        found_name = "velo"
    elif any(x.startswith("volume ") for x in columns) and {"open", "close", "symbol"} <= columns:
        found_name = "cryptodatadownload"
    elif {"create_time", "sum_open_interest"} <= columns or {"calc_time", "last_funding_rate"} <= columns:
        found_name = "binance_vision"
    elif re.fullmatch(r"[A-Z0-9]+-\d+[mhd]-\d{4}-\d{2}(-\d{2})?\.(zip|csv)", name):
        raise ConfigError(
            f"{name}: klines of Binance's spot markets, perpetuals, mark and index prices look alike. Give --vendor"
            " binance_vision (USDT-margined perpetuals) or --vendor binance_vision_spot."
        )
    elif {"instrument", "mark_iv", "underlying_price"} <= columns or {"instrument_name", "mark_iv"} <= columns:
        found_name = "laevitas"
    elif {"sumopeninterest", "sumopeninterestvalue"} <= columns and sample.format == "json":
        found_name = "binance_rest"
    elif "openinterestamount" in columns:
        found_name = "ccxt"
    elif {"instrument", "exchangetimestamp"} <= columns:
        found_name = "amberdata"
    elif {"blockchain", "project", "transaction_type", "tx_hash"} <= columns:
        found_name = "dune"
    elif '"forceOrder"' in sample.head:
        found_name = "binance_recordings"
    elif '"allLiquidation.' in sample.head or '"liquidation.' in sample.head:
        found_name = "bybit_recordings"
    elif '"liquidation-orders"' in sample.head:
        found_name = "okx_recordings"
    return found_name


def propose(paths: Sequence[Path], answers: Answers) -> str:
    """The text of a mapping for `paths`, which have one structure. Raises ConfigError that asks for what is needed and not known,
    SourceFormatError for a file that no format fits."""
    sample = sample_of(paths[0])
    vendor = answers.vendor or recognized(sample, paths[0].name)
    if vendor is not None:
        return _of_vendor(vendor, paths, sample)
    return _Proposal(paths, sample, answers).text()


def _of_vendor(vendor: str, paths: Sequence[Path], sample: Sample) -> str:
    """The built-in mapping; where a single file is not named as the vendor names it, with its name."""
    built_in = vendor_mapping(vendor)
    text = built_in.read_text(encoding="utf-8")
    sections = load_mapping(built_in).file
    strange = [path.name for path in paths if not any(fnmatchcase(path.name, file.pattern) for file in sections)]
    if not strange:
        return text
    fitting = [file for file in sections if file.needed <= set(sample.columns) and file.from_name is None]
    if len(fitting) == 1 and len(paths) == 1:
        return text.replace(f'pattern = "{fitting[0].pattern}"', f'pattern = "{paths[0].name}"', 1)
    patterns = ", ".join(file.pattern for file in sections)
    raise ConfigError(
        f"{', '.join(strange)}: {vendor} names its files {patterns}. Rename the file so, or copy the built-in mapping"
        " and change the pattern."
    )


@dataclass(frozen=True)
class _Proposal:
    paths: Sequence[Path]
    sample: Sample
    answers: Answers

    def text(self) -> str:
        asked: list[str] = []
        venues = [x for x in self.sample.columns if x.lower() in KNOWN_VENUES]
        time, time_columns, zoned = self._time(asked)
        table = self.answers.table or self._table()
        if table is None:
            asked.append(f"what are the values? Give --table, one of {', '.join(TABLES)}")
            raise self._question(asked)
        period = self.answers.period or self._period(time, time_columns, zoned)
        if period is None and table != "funding_rates":
            asked.append(f"how long is a period? Give --period, one of {', '.join(PERIODS)}")
        if period == "1m" and table not in {"candles"}:
            raise ConfigError(
                f"{self.paths[0].name}: {table} has no periods of a minute. Sum or sample the file to five minutes or more, and"
                " give the result here."
            )
        if table == "open_interest" and re.search(r"(?i)(?<![a-z])options?(?![a-z])", self.paths[0].name):
            raise ConfigError(
                f"{self.paths[0].name}: open interest of options is kept by contract (option_chain); sums over them are not"
                " imported, and would be counted as perpetuals' here."
            )
        if len(venues) > 1 and table == "open_interest":
            return self._by_venue(venues, time, time_columns, period, asked)
        symbol = next((x for x in self.sample.columns if _SYMBOL.fullmatch(x)), None) or self._unnamed_symbol()
        venue = next((x for x in self.sample.columns if _VENUE.fullmatch(x)), None)
        if symbol is None and self.answers.symbol is None and not self._named_symbols():
            asked.append("which instrument is it? Give --symbol, for example BTCUSDT")
        if venue is None and self.answers.venue is None:
            asked.append("which venue is it from? Give --venue")
        label = self.answers.label
        if label is None and table in {"open_interest", "long_short_ratios"} and period not in {None, "snapshot"}:
            asked.append("does the time of a row begin or end its period? Give --label start or --label end")
        constants, columns = self._values(table, asked)
        if asked:
            raise self._question(asked)
        used = {*time_columns, *columns.values(), symbol, venue}
        return self._toml(
            table, time, period, symbol, venue, constants, columns, [x for x in self.sample.columns if x not in used]
        )

    def _by_venue(
        self, venues: Sequence[str], time: str, time_columns: Sequence[str], period: str | None, asked: list[str]
    ) -> str:
        """Open interest of one asset with a column for each venue; the columns of unknown venues, and of sums, are ignored."""
        answers = self.answers
        if answers.symbol is None:
            asked.append("which asset is it? Give --symbol, for example BTC")
        if answers.unit not in {"usd", "base"}:
            asked.append("are the values dollars or coins? Give --unit usd or --unit base")
        if period is None:
            asked.append(f"how long is a period? Give --period, one of {', '.join(PERIODS)}")
        asked[:] = [x for x in asked if not x.startswith("how long") or period is None]
        if asked:
            raise self._question(list(dict.fromkeys(asked)))
        rest = [x for x in self.sample.columns if x not in {*venues, *time_columns}]
        base = re.sub(r"[-_/]?(USDT|USDC|USD)$", "", answers.symbol or "")
        lines = [
            f"# Proposed for {self.paths[0].name}: one column for each venue.",
            f'dataset = "{answers.dataset or "open_interest_by_venue"}"',
            f'description = "open interest by venue from {self.paths[0].name}"',
        ]
        for name in venues:
            lines += [
                "", "[[instrument]]", f'venue = "{name.lower()}"', f"name = '{re.escape(name)}'", f'symbol = "{base}USDT"',
                f'base = "{base}"', 'quote = "USDT"', 'contract_type = "linear"',
            ]  # fmt: skip
        either = "|".join(re.escape(x) for x in venues)
        is_off_grid = self._is_last_off_grid(time_columns, period)
        lines += [
            "", "[[file]]", f'pattern = "{self.paths[0].name}"', f'format = "{self.sample.format}"', 'absent = [""]',
            f"ignore = {_toml_value(rest)} # sums, prices, and venues that are not known here", f"time = {time}",
            *(['last = "drop" # off the grid: when the file was fetched'] if is_off_grid else []),
            f"wide = {{ columns = '(?P<instrument>{either})(?P<metric>)', metrics = [\"\"] }}", "", "[[file.rows]]",
            'table = "open_interest"', 'available = { after = "event", lag = "1h" }',
            f'set = {{ period = "{period}", oi_raw_unit = "{answers.unit}", counting = "one_sided" }}', "",
            "[file.rows.columns]", 'venue = { column = "instrument", lower = true }', f'oi_{answers.unit} = ""', 'oi_raw = ""',
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _named_symbols(self) -> set[str]:
        """The pairs that the names of the files hold; none unless every name holds one."""
        found = [re.fullmatch(_SYMBOL_IN_NAME, path.name) for path in self.paths]
        return {x["symbol"] for x in found if x} if all(found) else set()

    def _unnamed_symbol(self) -> str | None:
        """Of a file without a header the column whose cells look like names of instruments."""
        if self.sample.settings.get("header") != "none":
            return None
        return next(
            (
                x
                for x, cells in self.sample.columns.items()
                if all(re.fullmatch(r"[A-Z0-9]*[A-Z][A-Z0-9_/:-]*", y) for y in cells)
            ),
            None,
        )

    def _question(self, asked: Sequence[str]) -> ConfigError:
        seen = ", ".join(self.sample.columns)
        return ConfigError(
            f"{self.paths[0].name} ({self.sample.format}; columns {seen}) does not say: " + "; ".join(asked) + "."
        )

    def _time(self, asked: list[str]) -> tuple[str, list[str], Time | None]:
        names = sorted(self.sample.columns, key=lambda x: _TIME_NAMES.fullmatch(x) is None)
        typed = self.sample.settings.get("typed", [])
        if typed:
            zone = (
                "" if typed[0] in self.sample.settings.get("zoned", []) else f', zone = "{self.answers.zone or "UTC"}"'
            )
            return f'{{ column = "{typed[0]}", format = "typed"{zone} }}', [typed[0]], None
        both = {x.lower(): x for x in self.sample.columns}
        if {"date", "time"} <= both.keys() and all(
            re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", x) for x in self.sample.columns[both["time"]]
        ):
            shape = "%Y-%m-%d %H:%M:%S" if len(self.sample.columns[both["time"]][0]) > 5 else "%Y-%m-%d %H:%M"
            zone = self._zone(asked)
            template = f"{{{both['date']}}} {{{both['time']}}}"
            return (
                f'{{ template = "{template}", format = "{shape}", zone = "{zone}" }}',
                [both["date"], both["time"]],
                None,
            )
        for name in names:
            if _TIME_NAMES.fullmatch(name) is None and not name.startswith("column_") and not name.isdigit():
                continue
            cells = pl.Series(name, [x for x in self.sample.columns[name] if x], dtype=pl.String)
            if cells.is_empty():
                continue
            for format_ in ("epoch", "iso", *_FORMATS):
                for assumed in (None, "UTC"):
                    time = Time.model_validate({"column": name, "format": format_, "zone": assumed})
                    if to_instants(cells, time).null_count() == 0:
                        local = f', zone = "{self._zone(asked)}"' if assumed else ""
                        return f'{{ column = "{name}", format = "{format_}"{local} }}', [name], time
        asked.append("no column holds times in one known format: write [file.time] by hand")
        return "", [], None

    def _zone(self, asked: list[str]) -> str:
        if self.answers.zone is None:
            asked.append("its times have no zone. Give --zone, for example UTC or Europe/Berlin")
        return self.answers.zone or "UTC"

    def _table(self) -> str | None:
        names = [x.lower() for x in self.sample.columns if x.lower() not in KNOWN_VENUES]
        if any("liq" in x for x in names) or names in (["t", "l", "s"], ["time", "l", "s"]):
            return "liquidation_totals"
        if any("open_interest" in x or x == "oi" or x.startswith("oi_") for x in names):
            return "open_interest"
        if any("funding" in x or x == "rate" for x in names):
            return "funding_rates"
        if any("long_short" in x or "longshort" in x for x in names):
            return "long_short_ratios"
        if {"open", "high", "low", "close"} <= set(names) and any("vol" in x for x in names):
            return "candles"
        return None

    def _period(self, text: str, columns: Sequence[str], time: Time | None) -> str | None:
        """The commonest step between the times, if it is a period."""
        if time is None or len(columns) != 1:
            return None
        instants = to_instants(pl.Series([x for x in self.sample.columns[columns[0]] if x], dtype=pl.String), time)
        steps = instants.unique().sort().diff().drop_nulls()
        if steps.is_empty():
            return None
        step = steps.mode().sort()[0]
        return next((name for name, length in PERIODS.items() if length == step), None)

    def _values(self, table: str, asked: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """Constants of the table, and its columns with the file's column of each."""
        answers, names = self.answers, list(self.sample.columns)

        def one(*patterns: str) -> str | None:
            return next((x for pattern in patterns for x in names if re.fullmatch(pattern, x, re.IGNORECASE)), None)

        def need(found: str | None, what: str) -> str:
            if found is None:
                asked.append(f"which column holds {what}? None is named like it: write the rule by hand")
            return found or ""

        if table == "open_interest":
            column = need(
                one(
                    "open_interest_usd",
                    "oi_total_close",
                    r".*oi.*close.*",
                    r".*close.*oi.*",
                    r".*(open_interest|openinterest).*close.*",
                    r".*sumOpenInterest",
                    r".*open_?interest.*",
                    "oi",
                    "close",
                    "c",
                    "value",
                    r"column_\d*[3-9]",
                ),
                "open interest",
            )
            unit = answers.unit or ("usd" if "usd" in column.lower() else None)
            if unit not in {"usd", "base"}:
                asked.append(f"is {column!r} in dollars or in coins? Give --unit usd or --unit base")
            return {"oi_raw_unit": unit, "counting": "one_sided"}, {f"oi_{unit}": column, "oi_raw": column}
        if table == "funding_rates":
            column = need(one("funding_rate", "rate", r".*close.*", r".*funding.*", r".*rate.*"), "the rate")
            signed = any("%" in x for x in self.sample.columns.get(column, ()))
            if answers.unit not in {"percent", "fraction"} and not signed:
                asked.append(f"is {column!r} a fraction (commonest value 0.0001) or in percent (0.01)? Give --unit")
            if answers.interval_hours is None:
                asked.append("how many hours does a rate cover at this venue? Give --interval-hours")
            kind = "predicted" if "close" in column.lower() else "settled"
            return {"kind": kind, "interval_hours": answers.interval_hours}, {"rate": column}
        if table == "liquidation_totals":
            sides = {
                side: need(
                    one(rf".*{side}.*usd.*", rf".*{side}.*liq.*", rf".*liq.*{side}.*", side, f"{side}s", side[0]),
                    f"liquidated {side}s",
                )
                for side in ("long", "short")
            }
            unit = answers.unit or ("usd" if all("usd" in x.lower() for x in sides.values()) else None)
            if unit not in {"usd", "base"}:
                asked.append("are the amounts dollars or coins? Give --unit usd or --unit base")
            if answers.absent_is is None and any(
                not x for name in sides.values() for x in self.sample.columns.get(name, ())
            ):
                asked.append("does an empty cell mean no liquidation, or not known? Give --absent-is zero or unknown")
            return {"measure": "position_notional", "completeness": "throttled"}, {
                f"{side}_{unit}": x for side, x in sides.items()
            }
        if table == "candles":
            if "4" in self.sample.columns:  # arrays: time, open, high, low, close, volume
                return {"market": "perp"}, dict(zip(("open", "high", "low", "close"), "1234", strict=True))
            found = {x: one(x) for x in ("open", "high", "low", "close")} | {
                "volume_base": one("volume", "volume_base", "vol")
            }
            if answers.unit not in {None, "base"}:
                found["volume_base"] = None
            if self._is_coin_margined(answers.symbol or ""):
                # Binance counts contracts in volume here, and coins in quote_volume.
                found["volume_base"] = one("quote_volume", "base_asset_volume")
            need(found["close"], "the close")
            return {"market": "perp"}, {key: x for key, x in found.items() if x}
        ratio = need(one(r".*long_?short_?ratio.*"), "the ratio")
        measure = "position_top" if "position" in ratio else "account_top" if "top" in ratio else "account_global"
        return {"measure": measure}, {"ratio": ratio, "long_share": ratio}

    def _is_coin_margined(self, symbol: str) -> bool:
        names = {
            symbol,
            *(x for name in self.sample.columns if _SYMBOL.fullmatch(name) for x in self.sample.columns[name]),
        }
        return any(_COIN_MARGINED.fullmatch(x) for x in names)

    def _clean(self, column: str) -> list[str]:
        cells = [x for x in self.sample.columns[column] if x not in _ABSENT]
        ways = {
            "currency": r"[-+]?\s*(?:[$€£]|USD).*", "percent": r".*%", "suffix": r"(?i).*\d\s*[kmbt]n?",
            "thousands": r"[^\d]*\d{1,3}(?:,\d{3})+(?:\.\d+)?\D*", "decimal_comma": r"[-+]?\d*,\d+",
        }  # fmt: skip
        found = [way for way, pattern in ways.items() if any(re.fullmatch(pattern, x) for x in cells)]
        if "thousands" in found and "decimal_comma" in found:
            found.remove("decimal_comma")
        return found

    def _rule(self, name: str, column: str) -> str:
        parts = [f'column = "{column}"']
        if ways := self._clean(column):
            parts.append(f"clean = [{', '.join(repr(x) for x in ways)}]".replace("'", '"'))
        if name == "long_share":
            parts.append('as = "long_share"')
        if name == "rate" and self.answers.unit == "percent" and "percent" not in ways:
            parts.append("scale = 0.01")
        if name.startswith(("long_", "short_")) and self.answers.absent_is == "zero":
            parts.append("absent_as = 0")
        return f'"{column}"' if len(parts) == 1 else f"{{ {', '.join(parts)} }}"

    def _toml(
        self,
        table: str,
        time: str,
        period: str | None,
        symbol: str | None,
        venue: str | None,
        constants: Mapping[str, Any],
        columns: Mapping[str, str],
        rest: Sequence[str],
    ) -> str:
        answers, name = self.answers, self.paths[0].name
        after = "period" if table in {"candles", "liquidation_totals"} else "event"
        shift = f'time = {{ shift = "{period}" }} # from the start of the period to its end\n' if (
            answers.label == "start" and table in {"open_interest", "long_short_ratios"}
        ) else ""  # fmt: skip
        settings = {key: value for key, value in self.sample.settings.items() if key not in {"typed", "zoned"}}
        holes = [x for x in columns.values() if any(cell in _ABSENT for cell in self.sample.columns[x])]
        skipped = table in {"open_interest", "funding_rates", "long_short_ratios"} and bool(holes)
        absent = (
            []
            if skipped
            else [x for x in _ABSENT if any(x in self.sample.columns[column] for column in columns.values())]
        )
        lines = [
            f"# Proposed for {name}; every line stands for something the file says, or that you answered. Change what is wrong.",
            f'dataset = "{answers.dataset or self._dataset()}"',
            f'description = "{table.replace("_", " ")} from {name}"',
            *self._instruments(symbol, venue),
            "",
            "[[file]]",
            f'pattern = "{name if len(self.paths) == 1 else "*" + Path(name).suffix}"',
            f'format = "{self.sample.format}"',
            *(f"{key} = {_toml_value(value)}" for key, value in settings.items()),
            *self._named(symbol),
            *([f"absent = {_toml_value(absent)}"] if absent else []),
            *([f"ignore = {_toml_value(list(rest))} # not used by any rule"] if rest else []),
            f"time = {time}",
        ]
        if self._is_forming():
            lines.append('last = "drop" # the newest period was still forming when the API was asked; "keep" keeps it')
        if skipped:
            empty = f"{{ unlike = {{ {_toml_value(holes[0])} = '.*[0-9].*' }} }}"
            lines += ["", "[[file.skip]]", f"where = {empty}", 'because = "no value"']
        lines += [
            "",
            "[[file.rows]]",
            f'table = "{table}"',
            *([shift.rstrip("\n")] if shift else []),
            f'available = {{ after = "{after}", lag = "1m" }}',
        ]
        fixed = {
            **({} if venue else {"venue": answers.venue}),
            **({"period": period} if table != "funding_rates" else {}),
            **constants,
        }
        lines.append(f"set = {{ {', '.join(f'{key} = {_toml_value(value)}' for key, value in fixed.items())} }}")
        lines += ["", "[file.rows.columns]"]
        if venue:
            lines.append(f'venue = {{ column = "{venue}", lower = true }}')
        lines += [f"{key} = {self._rule(key, column)}" for key, column in columns.items()]
        return "\n".join(lines) + "\n"

    def _dataset(self) -> str:
        """A name of the data set that follows from the first file's."""
        name = re.sub(r"[^a-z0-9]+", "_", self.paths[0].stem.lower()).strip("_") or "data"
        return name if name[0].isalpha() else f"data_{name}"

    def _named(self, symbol: str | None) -> list[str]:
        """Where the name of a row's instrument comes from."""
        if symbol:
            return [f'instrument = {{ column = "{symbol}", upper = true }}']
        if self.answers.symbol:
            return [f'instrument = {{ template = "{self.answers.symbol}" }}']
        return [f"from_name = '{_SYMBOL_IN_NAME}'", 'instrument = "symbol" # that of the file\'s name']

    def _is_last_off_grid(self, columns: Sequence[str], period: str | None) -> bool:
        """Whether the newest epoch is no multiple of the period, and the others are."""
        if period not in PERIODS or len(columns) != 1 or not all(x.isdigit() for x in self.sample.columns[columns[0]]):
            return False
        cells = sorted(map(int, self.sample.columns[columns[0]]))
        unit = 1 if cells[-1] < 10**11 else 1_000 if cells[-1] < 10**14 else 1_000_000
        length = round(PERIODS[period].total_seconds()) * unit
        return cells[-1] % length != 0 and all(x % length == 0 for x in cells[:-1])

    def _is_forming(self) -> bool:
        """Whether the file looks like an API's answer, or a dump of it, with more than one time."""
        names = set(self.sample.columns)
        is_answer = self.sample.format == "json" or (
            "time" in names and (names == {"time", "open", "high", "low", "close"} or any(_API.match(x) for x in names))
        )
        time = next((x for x in self.sample.columns if _TIME_NAMES.fullmatch(x) or x == "0"), None)
        return is_answer and time is not None and len(set(self.sample.columns[time])) > 1

    def _instruments(self, symbol: str | None, venue: str | None) -> list[str]:
        names = {self.answers.symbol} if self.answers.symbol else self._named_symbols() or {""}
        names = {x.upper() for x in self.sample.columns[symbol]} if symbol else names
        venues = sorted({x.lower() for x in self.sample.columns[venue]}) if venue else [self.answers.venue or ""]
        is_pair = any(re.fullmatch(r".+(USDT|USDC|USD)(_PERP|_\d{6}|-SWAP)?", x) for x in names)
        rule = (
            r"(?P<base>[A-Z0-9]+?)[-_/]?(?P<quote>USDT|USDC|USD)(?:_PERP|_[0-9]{6}|-SWAP)?"
            if is_pair
            else r"(?P<base>[A-Z0-9]+)"
        )
        lines = []
        for one in venues:
            quote = "{quote}" if is_pair else "USDT"
            lines += [
                "", "[[instrument]]", f'venue = "{one}"', f"name = '{rule}'",
                'symbol = "{name}"' if is_pair else 'symbol = "{base}USDT" # the file names coins only',
                'base = "{base}"', f'quote = "{quote}"',
                f'contract_type = "{"inverse" if any(_COIN_MARGINED.fullmatch(x) for x in names) else "linear"}"',
            ]  # fmt: skip
        return lines


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return str(value)
