"""The expected rows of the clean tables for an AnalyticMarket: by table, one instrument at a time.

Times, sides and units are the contract's; arguments describe what a venue omits or rounds. Nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import polars as pl

from pipelines.sandbox import risk_tiers as limits
from pipelines.sandbox.market_model import AnalyticMarket, Listing, Market, Measure

DAY: Final = timedelta(days=1)
PRICES: Final = ("open", "high", "low", "close")
VOLUMES: Final = ("volume_base", "volume_quote")


@dataclass(frozen=True)
class Window:
    """The requested range [start, end) and the venue's clock."""

    start: datetime
    end: datetime
    now: datetime


ExpectedRows = Callable[[AnalyticMarket, Listing, Window], pl.DataFrame]
"""Returns the expected rows of one instrument; its non-float columns identify a row."""


def states(window: Window, minutes: int) -> tuple[datetime, datetime]:
    """Bounds of states: a state at midnight belongs to the day it ends."""
    step = timedelta(minutes=minutes)
    return window.start + step, window.end + step


def is_inverse(listing: Listing) -> bool:
    return listing.contract_type == "inverse"


Units = Literal["both", "own", "known", "base"]
"""Units in which a venue publishes amounts. both: coin and dollars; own: coin, but dollars for inverse contracts; known: both, but
only dollars for inverse contracts; base: always coin. Other amounts are null."""


def amounts(units: Units, listing: Listing, base: pl.Expr, usd: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The amounts in coin and in dollars, null if the venue does not publish them."""
    unknown = pl.lit(None, pl.Float64)
    hides_base = units in ("own", "known") and is_inverse(listing)
    hides_usd = units == "base" or (units == "own" and not is_inverse(listing))
    return unknown if hides_base else base, unknown if hides_usd else usd


def open_interest(minutes: int, *, units: Units = "both") -> ExpectedRows:
    """States in units of the instrument."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        frame = market.open_interest(listing, minutes, *states(window, minutes))
        return frame.select("event_at", *interest_in(listing, units))

    return rows


def open_interest_now(minutes: int, *, units: Units = "own") -> ExpectedRows:
    """The state at the venue's clock, without its timestamp."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        return market.open_interest(listing, minutes, window.now, window.now + timedelta(minutes=minutes)).select(
            interest_in(listing, units)
        )

    return rows


def interest_in(listing: Listing, units: Units) -> list[pl.Expr]:
    base, usd = amounts(units, listing, pl.col("oi_base") / listing.multiplier, pl.col("oi_usd"))
    return [base.alias("oi_base"), usd.alias("oi_usd")]


def funding(*columns: str) -> ExpectedRows:
    """Settlements in [start, end): settlement time, rate and `columns`."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        settled = market.funding(listing, window.start, window.end)
        return settled.with_columns(pl.col("mark_price") * listing.multiplier).select("settled_at", "rate", *columns)

    return rows


def next_funding(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """The prediction of the first settlement after the venue's clock."""
    after = window.now + timedelta(milliseconds=1)
    coming = market.funding(listing, after, after + timedelta(hours=listing.interval_hours))
    return coming.select("settled_at", "rate")


def ratios(
    minutes: int, *measures: Measure, value: pl.Expr | None = None, of_inverse: Sequence[Measure] | None = None
) -> ExpectedRows:
    """States of the measures. `value` replaces the ratio if the venue publishes another figure; `of_inverse` are the measures
    published for inverse contracts, if fewer."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        chosen = measures if of_inverse is None or not is_inverse(listing) else of_inverse
        printed = pl.col("ratio") if value is None else value
        return pl.concat(
            market.ratios(listing, measure, minutes, *states(window, minutes)).select(
                pl.lit(measure).alias("measure"), "event_at", printed
            )
            for measure in chosen
        )

    return rows


def candles(
    *columns: str, minutes: int = 60, candle_market: Market | None = None, volume: Units = "both"
) -> ExpectedRows:
    """Candles in units of the instrument: for 1000PEPE prices are multiplied and volumes divided by 1000."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        traded: Market = candle_market or ("spot" if listing.contract_type == "spot" else "perp")
        multiplier = listing.multiplier
        base, usd = amounts(volume, listing, pl.col("volume_base") / multiplier, pl.col("volume_quote"))
        columns_by_name = {
            "volume_base": base,
            "volume_quote": usd,
            "taker_buy_base": pl.col("taker_buy_base") / multiplier,
        }
        return market.candles(listing, traded, minutes, window.start, window.end).select(
            pl.lit(traded).alias("market"),
            "opened_at",
            *(pl.col(price) * multiplier for price in PRICES),
            *(columns_by_name[name].alias(name) if name in columns_by_name else pl.col(name) for name in columns),
        )

    return rows


def liquidations(
    *extra: pl.Expr, seconds: bool = False, columns: Sequence[str] = ("price", "quantity_base")
) -> ExpectedRows:
    """Single events; `seconds` if the venue's timestamps have no milliseconds."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        at = pl.col("occurred_at")
        columns_by_name = {
            "price": pl.col("price") * listing.multiplier,
            "quantity_base": pl.col("quantity_base") / listing.multiplier,
        }
        return market.liquidations(listing, window.start, window.end).select(
            at.dt.truncate("1s") if seconds else at, "side", *(columns_by_name[name] for name in columns), *extra
        )

    return rows


def liquidations_kept(days: int) -> ExpectedRows:
    """Liquidations that the venue still has at its clock."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        return liquidations()(market, listing, Window(window.now - days * DAY, window.now, window.now))

    return rows


def liquidation_totals(minutes: int) -> ExpectedRows:
    """Totals of every period, including periods without liquidations."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        usd = pl.col("price") * pl.col("quantity_base")
        sums = (
            market.liquidations(listing, window.start, window.end)
            .group_by(pl.col("occurred_at").dt.truncate(f"{minutes}m").alias("event_at"))
            .agg(
                amount.filter(side=side).sum().alias(f"{side}_{unit}")
                for unit, amount in (("base", pl.col("quantity_base") / listing.multiplier), ("usd", usd))
                for side in ("long", "short")
            )
        )
        periods = market.open_interest(listing, minutes, window.start, window.end).select("event_at")
        return periods.join(sums, on="event_at", how="left", maintain_order="left").fill_null(0.0)

    return rows


def volatility_index(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """The volatility index of `listing.asset`."""
    return market.volatility_index(listing.asset, 60, window.start, window.end)


def option_chain(*unknown: str) -> ExpectedRows:
    """The chain of an underlying at the venue's clock; `unknown` are columns that the venue does not publish."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        chain = market.option_chain(listing.asset, window.now)
        return chain.with_columns(pl.lit(None, pl.Float64).alias(name) for name in unknown)

    return rows


def risk_tiers(
    *,
    unit: str = "quote",
    of_inverse: str = "base",
    initial: bool = True,
    deduction: bool = True,
    open_end: bool = False,
) -> ExpectedRows:
    """The tiers at the venue's clock. `unit` and `of_inverse` are what it states bounds in, `initial` and `deduction` whether it
    publishes them; with an `open_end` the last tier has no upper bound."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        stated = of_inverse if is_inverse(listing) else unit
        size = {"quote": 1.0, "base": limits.DOLLARS_PER_COIN, "contracts": limits.DOLLARS_PER_CONTRACT}[stated]
        tiers = limits.risk_tiers(listing, window.now)
        frame = pl.DataFrame(
            {
                "schedule": "default",
                "tier": pl.Series([tier.number for tier in tiers], dtype=pl.Int32),
                "lower_bound": [tier.lower / size for tier in tiers],
                "upper_bound": [tier.upper / size for tier in tiers],
                "bound_unit": stated,
                "max_leverage": [float(tier.leverage) for tier in tiers],
                "initial_margin_rate": [tier.initial if initial else None for tier in tiers],
                "maintenance_margin_rate": [tier.maintenance for tier in tiers],
                "maintenance_deduction": [tier.deduction / size if deduction else None for tier in tiers],
            },
            schema_overrides={"initial_margin_rate": pl.Float64, "maintenance_deduction": pl.Float64},
        )
        if open_end:
            is_last = pl.col("tier") == pl.col("tier").max()
            frame = frame.with_columns(pl.when(~is_last).then("upper_bound").alias("upper_bound"))
        in_usd = 1.0 if stated == "quote" else listing.contract_size if listing.contract_size_unit == "usd" else None
        in_base = listing.multiplier if stated == "base" else None
        if stated == "contracts":
            in_base = (
                (listing.contract_size or 1.0) * listing.multiplier if listing.contract_size_unit == "base" else None
            )
        else:
            in_usd = 1.0 if stated == "quote" else None
        return frame.with_columns(
            (pl.col(f"{bound}_bound") * pl.lit(factor, pl.Float64)).alias(f"{bound}_bound_{name}")
            for name, factor in (("usd", in_usd), ("base", in_base))
            for bound in ("lower", "upper")
        )

    return rows
