"""What is not a daily column: bins of the liquidation heatmap, predicted levels, option chains, vintages. Reads, and encodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

import duckdb
import numpy as np
import polars as pl

from pipelines.report.encode import Floats, numbers, rounded, words
from pipelines.report.gather import Span, columns_of, lots, plain, plain_list

HEATMAP: Final = "marts.liquidation_heatmap_daily"
LEVELS: Final = "marts.liquidation_levels_daily"
CHAIN: Final = "marts.fct_option_oi_by_strike_daily"
STRUCTURE: Final = "marts.options_structure_daily"
MAX_PAIN: Final = "marts.options_max_pain_daily"

SCALE_DAYS: Final = 365
"""The scale of predicted levels is taken from so many days up to the last of its year: it stands still while the reader moves
the window."""

HEAT_SQL: Final = (
    "select asset, trade_date, bin_no, price_low_usd, price_high_usd, notional_usd, long_usd, short_usd, "
    "cast(is_dense as int) as is_dense, input_grain, color_low_usd, color_high_usd "
    f"from {HEATMAP} where asset in (select unnest($assets)) "
    "order by asset, trade_date, bin_no"
)
LEVELS_SQL: Final = (
    "select asset, trade_date, bin_no, price_low_usd, price_high_usd, side, expected_usd "
    f"from {LEVELS} where asset in (select unnest($assets)) and expected_usd is not null "
    "order by asset, trade_date, side, bin_no"
)

VINTAGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "signals_daily": ("signal", ("state", "value", "threshold")),
    "oi_trends_daily": ("''", ("oi_usd", "oi_usd_position_1d", "oi_usd_price_1d")),
    "funding_regimes_daily": ("''", ("regime", "excess_rate_8h")),
    "liquidation_comparison_daily": (
        "''",
        ("exchange_position_notional_usd", "perp_dex_position_notional_usd", "lending_collateral_seized_usd"),
    ),
}
"""Marts that keep what was published: key inside a day, and the columns that are compared."""

VINTAGE_DAYS: Final = 400


class Bins:
    """Bins by asset, with `day` counted from the asset's first one. Assets asked for in the order of `spans` are read by lots."""

    def __init__(self, con: duckdb.DuckDBPyConnection, sql: str, spans: Mapping[str, Span]) -> None:
        self._con = con
        self._sql = sql
        self._spans = spans
        self._lots = {asset: lot for lot in lots(spans) for asset in lot}
        self._read: tuple[str, ...] = ()
        self._frames: dict[str, pl.DataFrame] = {}

    def of(self, asset: str) -> pl.DataFrame | None:
        """The bins of an asset; None where it has none."""
        if asset not in self._read:
            self._read = self._lots[asset]
            frame = self._con.sql(self._sql, params={"assets": list(self._read)}).pl()
            self._frames = {
                name: part.with_columns((pl.col("trade_date") - self._spans[name].first).dt.total_days().alias("day"))
                for (name,), part in frame.partition_by("asset", as_dict=True).items()
            }
        return self._frames.get(asset)


def encode_bins(frame: pl.DataFrame, begin: int, end: int, columns: Mapping[str, str]) -> dict[str, Any] | None:
    """The cells of some days: distinct bins with their edges once, cells a day, index of each cell's bin, and `columns`.

    None where there is no cell.
    """
    part = frame.filter((pl.col("day") >= begin) & (pl.col("day") < end))
    if part.is_empty():
        return None
    edges = (
        part.select("bin_no", "price_low_usd", "price_high_usd").unique(keep="first").sort("bin_no", "price_low_usd")
    )
    edges = edges.with_row_index("at")
    placed = part.join(edges, on=["bin_no", "price_low_usd", "price_high_usd"], how="left", maintain_order="left")
    count = np.bincount(placed["day"].to_numpy() - begin, minlength=end - begin)
    at = placed["at"].to_numpy().astype(np.int64)
    step = np.diff(at, prepend=0)
    return {
        "no": edges["bin_no"].to_list(),
        "low": numbers(rounded(edges["price_low_usd"].to_numpy())),
        "high": numbers(rounded(edges["price_high_usd"].to_numpy())),
        "cnt": count.tolist(),
        "b": step.tolist(),
        **columns_of(placed, columns),
    }


def scale(frame: pl.DataFrame) -> dict[str, float]:
    """Ends of the realized scale in dollars: the mart's, one for all days of an asset."""
    low, high = frame.select("color_low_usd", "color_high_usd").row(0)
    return {"low": plain(low), "high": plain(high)}


def tops(frame: pl.DataFrame, span: Span, column: str) -> dict[str, float]:
    """Upper end of the predicted scale in dollars by year: the 99th percentile, as of its last day."""
    return {str(year): plain(float(np.quantile(values, 0.99))) for year, values in _years(frame, span, column)}


def _years(frame: pl.DataFrame, span: Span, column: str) -> Iterator[tuple[int, Floats]]:
    """Dollars of the SCALE_DAYS days up to the last day of each year that has any bin."""
    priced = frame.filter(pl.col(column) > 0)
    for year, begin, end in span.years():
        last = priced.filter((pl.col("day") >= begin) & (pl.col("day") < end))["day"].max()
        if isinstance(last, int):
            yield year, priced.filter((pl.col("day") > last - SCALE_DAYS) & (pl.col("day") <= last))[column].to_numpy()


def chains(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> dict[str, dict[str, Any]]:
    """By asset: its last whole option chain, strike by strike, and max pain of each expiry of that day."""
    if CHAIN not in tables or STRUCTURE not in tables:
        return {}
    frame = con.sql(
        f"with whole as (select asset, max(trade_date) as trade_date from {CHAIN} where is_whole_chain group by asset) "
        "select c.asset, cast(c.trade_date as varchar) as trade_date, cast(c.expiry_date as varchar) as expiry_date, "
        "c.strike_usd, c.option_type, sum(c.oi_base) as oi_base, max(c.mark_iv) filter (c.venue = s.iv_venue) as mark_iv, "
        "max(c.index_usd) as index_usd, max(s.iv_venue) as iv_venue, max(s.call_wall_strike_usd) as call_wall_strike_usd, "
        f"max(s.put_wall_strike_usd) as put_wall_strike_usd from {CHAIN} as c "
        "join whole using (asset, trade_date) "
        f"left join {STRUCTURE} as s on s.asset = c.asset and s.trade_date = c.trade_date "
        "group by all order by all"
    ).pl()
    pain: dict[str, list[list[Any]]] = {}
    if MAX_PAIN in tables:
        for asset, day, expiry, usd, oi in con.execute(
            f"select asset, cast(trade_date as varchar), cast(expiry_date as varchar), max_pain_usd, oi_base from {MAX_PAIN} "
            f"where (asset, trade_date) in (select asset, max(trade_date) from {CHAIN} where is_whole_chain group by asset) "
            "order by all"
        ).fetchall():
            pain.setdefault(asset, []).append([day, expiry, plain(usd), plain(oi)])
    out = {}
    for (asset,), part in frame.partition_by("asset", as_dict=True).items():
        out[str(asset)] = {
            "day": part["trade_date"][0],
            "index_usd": plain(part["index_usd"].max()),
            "iv_venue": part["iv_venue"][0],
            "call_wall_strike_usd": plain(part["call_wall_strike_usd"].max()),
            "put_wall_strike_usd": plain(part["put_wall_strike_usd"].max()),
            "expiry": part["expiry_date"].to_list(),
            "strike": numbers(rounded(part["strike_usd"].to_numpy())),
            "type": words(part["option_type"].to_list()),
            "oi_base": numbers(rounded(part["oi_base"].cast(pl.Float64).to_numpy().astype(np.float64))),
            "mark_iv": numbers(rounded(part["mark_iv"].cast(pl.Float64).to_numpy().astype(np.float64))),
            "max_pain": pain.get(str(asset), []),
        }
    return out


def publications(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> list[str]:
    """Instants at which something was published that differs from before, oldest first; empty without vintages."""
    found: set[str] = set()
    for mart in VINTAGES:
        if f"history.{mart}" in tables:
            rows = con.execute(f"select distinct published_from, published_to from history.{mart}").fetchall()
            found |= {stamp.isoformat(timespec="seconds") for row in rows for stamp in row if stamp is not None}
    return sorted(found)


def vintages(
    con: duckdb.DuckDBPyConnection, tables: frozenset[str], spans: Mapping[str, Span]
) -> dict[str, dict[str, Any]]:
    """By asset and mart: rows [day, key, published from, published to, values...] of its last VINTAGE_DAYS days."""
    out: dict[str, dict[str, Any]] = {}
    for mart, (key, columns) in VINTAGES.items():
        if f"history.{mart}" not in tables:
            continue
        rows = con.sql(
            f"select asset, trade_date, {key} as key, published_from, published_to, {', '.join(columns)} from history.{mart} "
            "order by 1, 2, 3, 4"
        ).pl()
        stamps = pl.col("published_from", "published_to").dt.strftime("%Y-%m-%dT%H:%M:%S")
        for (asset,), part in rows.partition_by("asset", as_dict=True).items():
            if asset not in spans:
                continue
            part = part.filter(pl.col("trade_date") > _oldest(spans[str(asset)].last)).drop("asset")
            if part.height:
                part = part.with_columns(pl.col("trade_date").dt.strftime("%Y-%m-%d"), stamps)
                lists = (plain_list(part[name]) for name in part.columns)
                held = {"columns": list(columns), "rows": [list(row) for row in zip(*lists, strict=True)]}
                out.setdefault(str(asset), {})[mart] = held
    return out


def _oldest(last: date) -> date:
    return last - timedelta(days=VINTAGE_DAYS)
