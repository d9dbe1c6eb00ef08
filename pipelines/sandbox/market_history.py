"""The past of a simulated market as files that a vendor might sell. history/simulated_history.toml maps them for the import.

The venues' own history begins with the demo's days. What a window of a year needs lies before: daily rows of four venues. Open
interest of OKX and all of Hyperliquid come from nowhere else. A few days are in both, so that sources can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.venues import binance_archive, bybit, hyperliquid, okx

DATA_SET: Final = "simulated_history"
MAPPING: Final = Path(__file__).parent / "history" / f"{DATA_SET}.toml"

OVERLAP_DAYS: Final = 7
"""First days of the venues' own history that the vendor has too. The first planted fault comes later."""
MINUTES_DAYS: Final = 31
"""Last days with candles of five minutes: prices in and after a cascade are read off them."""
MINUTES_AT: Final = "bybit"
LISTED: Final = (*binance_archive.LISTINGS, *bybit.LISTINGS, *okx.LISTINGS, *hyperliquid.LISTINGS)
QUOTES: Final = ("USDT", "USDC")
ASKED: Final = ("binance", "bybit")
"""Venues whose open interest and candles are fetched: the vendor's end where those begin, and go on at the other venues."""
EVENTS_OF: Final = "bybit"
"""A venue that tells of every liquidation: the vendor has recorded it since the venues' own history begins, and totals before."""
ENDED: Final = "AVAXBUSD"
"""A contract that is not traded any more after ENDED_AFTER days; the vendor goes on writing its last state for as long again."""
ENDED_AFTER: Final = 20

_DAY: Final = timedelta(days=1)
_MINUTE: Final = "%Y-%m-%d %H:%M"


def write_history(market: SimulatedMarket, folder: Path, *, own_history_from: date) -> list[Path]:
    """Write the files into `folder` and return them: daily.csv, liquidations.csv, events.csv, funding.csv and minutes.csv.

    Daily rows begin with the market and end, at the venues of ASKED, OVERLAP_DAYS behind `own_history_from`, the first day that
    those are asked for. Amounts are in coin, liquidations in coin and dollars, until the last day at all venues, of EVENTS_OF one
    by one: what they push is not kept by them.
    """
    begin, end = _at(market.first), _at(market.last) + _DAY
    asked_end = min(_at(own_history_from) + OVERLAP_DAYS * _DAY, end)
    ends = {x.venue: asked_end if x.venue in ASKED else end for x in LISTED}
    perpetuals = [x for x in LISTED if x.contract_type == "linear" and x.asset in market.assets]
    listings = [x for x in perpetuals if x.quote in QUOTES]
    [ended] = (x for x in perpetuals if x.instrument == ENDED)
    minutes_from = max(end - MINUTES_DAYS * _DAY, begin)
    parts: dict[str, Iterable[pl.DataFrame]] = {
        "daily.csv": chain(
            (_daily(market, x, begin, ends[x.venue]) for x in listings),
            [_ended(_daily(market, ended, begin, begin + 2 * ENDED_AFTER * _DAY))],
        ),
        "liquidations.csv": (
            _liquidations(market, x, begin, _at(own_history_from) if x.venue == EVENTS_OF else end) for x in listings
        ),
        "events.csv": (_events(market, x, _at(own_history_from), end) for x in listings if x.venue == EVENTS_OF),
        "funding.csv": (_funding(market, x, begin, ends[x.venue]) for x in listings if x.interval_hours == 8),
        "minutes.csv": (_minutes(market, x, minutes_from, end) for x in listings if x.venue == MINUTES_AT),
    }
    return [_write(folder / name, frames) for name, frames in parts.items()]


def _write(path: Path, frames: Iterable[pl.DataFrame]) -> Path:
    pl.concat(frames).write_csv(path)
    return path


def _daily(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    candles = market.candles(listing, "perp", 24 * 60, start, end)
    # States are those at the ends of the days.
    states = market.open_interest(listing, 24 * 60, start + _DAY, end + _DAY)
    ratios = market.ratios(listing, "account_global", 24 * 60, start + _DAY, end + _DAY)
    ended = candles.with_columns(pl.col("opened_at") + _DAY)
    return (
        ended.join(states, left_on="opened_at", right_on="event_at")
        .join(ratios, left_on="opened_at", right_on="event_at")
        .select(
            *_named(listing),
            (pl.col("opened_at") - _DAY).dt.date().alias("day"),
            "open", "high", "low", "close",
            pl.col("volume_base").alias("volume"),
            pl.col("taker_buy_base").alias("taker_buy"),
            pl.col("oi_base").alias("open_interest"),
            pl.col("ratio").alias("account_ratio"),
        )
    )  # fmt: skip


def _ended(daily: pl.DataFrame) -> pl.DataFrame:
    """The contract stands still after ENDED_AFTER days: its prices are the last close, nothing is traded."""
    ended = pl.int_range(pl.len()) >= ENDED_AFTER
    close = pl.col("close").get(ENDED_AFTER - 1)
    return daily.with_columns(
        *(pl.when(ended).then(close).otherwise(name).alias(name) for name in ("open", "high", "low", "close")),
        *(pl.when(ended).then(0.0).otherwise(name).alias(name) for name in ("volume", "taker_buy")),
        *(
            pl.when(ended).then(pl.col(name).get(ENDED_AFTER - 1)).otherwise(name).alias(name)
            for name in ("open_interest", "account_ratio")
        ),
    )


def _liquidations(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    """A row for every day: one without a liquidation says 0."""
    events = market.liquidations(listing, start, end).with_columns(
        pl.col("occurred_at").dt.date().alias("day"),
        pl.col("quantity_base").alias("base"),
        (pl.col("price") * pl.col("quantity_base")).alias("usd"),
    )
    sides = [
        pl.col(unit).filter(pl.col("side") == side).sum().round(6).alias(f"{side}_{unit}")
        for side in ("long", "short")
        for unit in ("base", "usd")
    ]
    days = pl.DataFrame({"day": pl.date_range(start.date(), end.date(), eager=True, closed="left")})
    return days.join(events.group_by("day").agg(sides), on="day", how="left", maintain_order="left").select(
        *_named(listing), "day", pl.col("long_base", "long_usd", "short_base", "short_usd").fill_null(0.0)
    )


def _events(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    return market.liquidations(listing, start, end).select(
        *_named(listing),
        pl.format("{}:{}", pl.lit(listing.instrument), "number").alias("id"),
        pl.col("occurred_at").dt.epoch("ms").alias("at"),
        "side", "price",
        pl.col("quantity_base").alias("quantity"),
    )  # fmt: skip


def _funding(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    return market.funding(listing, start, end).select(
        *_named(listing), pl.col("settled_at").dt.strftime(_MINUTE), "rate"
    )


def _minutes(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    return market.candles(listing, "perp", 5, start, end).select(
        *_named(listing),
        pl.col("opened_at").dt.strftime(_MINUTE),
        "open", "high", "low", "close",
        pl.col("volume_base").alias("volume"),
    )  # fmt: skip


def _named(listing: Listing) -> tuple[pl.Expr, pl.Expr]:
    return pl.lit(listing.venue).alias("venue"), pl.lit(listing.instrument).alias("symbol")


def _at(day: date) -> datetime:
    return datetime.combine(day, time())
