"""What the clean tables must hold of a market whose every number is known: by table, one instrument at a time.

Times, sides and units are the contract's; what a venue leaves out or rounds is said by the arguments. Nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import polars as pl

from pipelines.sandbox.market_model import AnalyticMarket, Listing, Market, Measure

DAY: Final = timedelta(days=1)
PRICES: Final = ("open", "high", "low", "close")
VOLUMES: Final = ("volume_base", "volume_quote")


@dataclass(frozen=True)
class When:
    """What was asked about, [start, end), and the venue's clock."""

    start: datetime
    end: datetime
    now: datetime


Truth = Callable[[AnalyticMarket, Listing, When], pl.DataFrame]
"""Rows of one instrument; the columns that are no doubles say which row it is."""


def states(when: When, minutes: int) -> tuple[datetime, datetime]:
    """Bounds of states: one of midnight belongs to the day that ends with it."""
    step = timedelta(minutes=minutes)
    return when.start + step, when.end + step


def is_inverse(listing: Listing) -> bool:
    return listing.contract_type == "inverse"


Told = Literal["both", "own", "known", "base"]
"""Amounts a venue tells: both; in coins, or in dollars of inverse contracts (own); both, and dollars only of inverse contracts
(known); in coins always (base). What it does not tell is null."""


def told(told_in: Told, listing: Listing, base: pl.Expr, usd: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The amounts in coins and in dollars, null where the venue does not tell them."""
    unknown = pl.lit(None, pl.Float64)
    hides_base = told_in in ("own", "known") and is_inverse(listing)
    hides_usd = told_in == "base" or (told_in == "own" and not is_inverse(listing))
    return unknown if hides_base else base, unknown if hides_usd else usd


def open_interest(minutes: int, *, units: Told = "both") -> Truth:
    """States in units of the instrument."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        frame = model.open_interest(listing, minutes, *states(when, minutes))
        return frame.select("event_at", *interest_in(listing, units))

    return truth


def open_interest_now(minutes: int, *, units: Told = "own") -> Truth:
    """The state at the venue's clock, its stamp aside."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        return model.open_interest(listing, minutes, when.now, when.now + timedelta(minutes=minutes)).select(
            interest_in(listing, units)
        )

    return truth


def interest_in(listing: Listing, units: Told) -> list[pl.Expr]:
    base, usd = told(units, listing, pl.col("oi_base") / listing.multiplier, pl.col("oi_usd"))
    return [base.alias("oi_base"), usd.alias("oi_usd")]


def funding(*columns: str) -> Truth:
    """Settlements in [start, end): `columns` behind the stamp and the rate."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        settled = model.funding(listing, when.start, when.end)
        return settled.with_columns(pl.col("mark_price") * listing.multiplier).select("settled_at", "rate", *columns)

    return truth


def next_funding(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """What is predicted of the first settlement behind the venue's clock."""
    after = when.now + timedelta(milliseconds=1)
    coming = model.funding(listing, after, after + timedelta(hours=listing.interval_hours))
    return coming.select("settled_at", "rate")


def ratios(
    minutes: int, *measures: Measure, value: pl.Expr | None = None, of_inverse: Sequence[Measure] | None = None
) -> Truth:
    """States of the measures; `value` where the venue prints another figure than the ratio. `of_inverse` where it does not tell
    all measures of inverse contracts."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        chosen = measures if of_inverse is None or not is_inverse(listing) else of_inverse
        printed = pl.col("ratio") if value is None else value
        return pl.concat(
            model.ratios(listing, measure, minutes, *states(when, minutes)).select(
                pl.lit(measure).alias("measure"), "event_at", printed
            )
            for measure in chosen
        )

    return truth


def candles(*columns: str, minutes: int = 60, market: Market | None = None, volume: Told = "both") -> Truth:
    """In units of the instrument: one of 1000PEPE costs a thousand times as much and trades a thousandth as often."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        traded: Market = market or ("spot" if listing.contract_type == "spot" else "perp")
        many = listing.multiplier
        base, usd = told(volume, listing, pl.col("volume_base") / many, pl.col("volume_quote"))
        said = {"volume_base": base, "volume_quote": usd, "taker_buy_base": pl.col("taker_buy_base") / many}
        return model.candles(listing, traded, minutes, when.start, when.end).select(
            pl.lit(traded).alias("market"),
            "opened_at",
            *(pl.col(price) * many for price in PRICES),
            *(said[name].alias(name) if name in said else pl.col(name) for name in columns),
        )

    return truth


def liquidations(*extra: pl.Expr, seconds: bool = False, columns: Sequence[str] = ("price", "quantity_base")) -> Truth:
    """Single events; `seconds` where the venue stamps no milliseconds."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        at = pl.col("occurred_at")
        said = {
            "price": pl.col("price") * listing.multiplier,
            "quantity_base": pl.col("quantity_base") / listing.multiplier,
        }
        return model.liquidations(listing, when.start, when.end).select(
            at.dt.truncate("1s") if seconds else at, "side", *(said[name] for name in columns), *extra
        )

    return truth


def liquidations_kept(days: int) -> Truth:
    """Those that a venue still tells of at its clock."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        return liquidations()(model, listing, When(when.now - days * DAY, when.now, when.now))

    return truth


def liquidation_totals(minutes: int) -> Truth:
    """Sums of every period, those of none as well."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        usd = pl.col("price") * pl.col("quantity_base")
        sums = (
            model.liquidations(listing, when.start, when.end)
            .group_by(pl.col("occurred_at").dt.truncate(f"{minutes}m").alias("event_at"))
            .agg(
                amount.filter(side=side).sum().alias(f"{side}_{unit}")
                for unit, amount in (("base", pl.col("quantity_base") / listing.multiplier), ("usd", usd))
                for side in ("long", "short")
            )
        )
        periods = model.open_interest(listing, minutes, when.start, when.end).select("event_at")
        return periods.join(sums, on="event_at", how="left", maintain_order="left").fill_null(0.0)

    return truth


def volatility_index(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """Of an asset: `listing` stands for it."""
    return model.volatility_index(listing.asset, 60, when.start, when.end)


def option_chain(*unknown: str) -> Truth:
    """Of an underlying, at the venue's clock; `unknown` is what the venue does not tell."""

    def truth(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        chain = model.option_chain(listing.asset, when.now)
        return chain.with_columns(pl.lit(None, pl.Float64).alias(name) for name in unknown)

    return truth
