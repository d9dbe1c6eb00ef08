"""End-to-end cases of the exchanges added in 2026; their lists are small, because they share everything else with the others."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.sandbox.market_model import AnalyticMarket, Listing, Measure
from pipelines.sandbox.venues import bingx, bitget, htx, kucoin, mexc, phemex
from tests.sources import expected as expected
from tests.sources.expected import VOLUMES, ExpectedRows, Window
from tests.sources.venue_case import FeedCase, VenueCase, crowd, is_linear

SMALL: Final = 12
"""Contracts in the list of venues whose day of two hundred would not take anything else through its paces."""

NEW_DAY: Final = date(2026, 7, 1)
"""A day before NOW that venues which keep three days still have."""


def newest_shares(hours: int, *measures: Measure) -> ExpectedRows:
    """The newest hours of shares that are printed with four decimals, without the ratio that follows from them."""

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        newest = Window(window.now - timedelta(hours=hours), window.now, window.now)
        return expected.ratios(60, *measures, value=SHARE)(market, listing, newest)

    return rows


SHARE: Final = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4).alias("long_share")
SNAPSHOT: Final = expected.open_interest_now(1, units="base")

BITGET: Final = VenueCase(
    "bitget", bitget, bitget.LISTINGS, crowd("bitget", "{}USDT", scaled="1000{}USDT")[:SMALL],
    (
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
        FeedCase("liquidations", "liquidations", expected.liquidations(), days=2, whole=True),
    ),
    captured=(
        FeedCase("open_interest", "open_interest", SNAPSHOT, whole=True),
        FeedCase("account_ratio", "long_short_ratios", newest_shares(bitget.RATIO_HOURS, "account_global")),
        FeedCase("risk_tiers", "risk_tiers", expected.risk_tiers(initial=False, deduction=False)),
    ),
    day=NEW_DAY,
)  # fmt: skip

HTX: Final = VenueCase(
    "htx", htx, htx.LISTINGS,
    crowd("htx", "{}-USDT", inverse="{}-USD", scaled="1000{}-USDT", size=0.01, inverse_size=10.0)[:SMALL],
    (
        FeedCase("open_interest", "open_interest", expected.open_interest(60, units="known"), days=8),
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
        FeedCase("liquidations", "liquidations", expected.liquidations(), days=89),
    ),
    captured=(
        FeedCase(
            "elite_ratios", "long_short_ratios", newest_shares(htx.RATIO_HOURS, "account_top", "position_top"), of=is_linear
        ),
    ),
    slow_feeds=("liquidations",), day=NEW_DAY,
)  # fmt: skip


def finest_kept(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """Hours of the last 7 days; of a day whose first hour is not kept, its end too. The clock has moved on since `window.now`, if
    only by microseconds, so that the hour which ended exactly 7 days before is gone."""
    found = []
    floor = window.now - kucoin.KEPT["1hour"]
    for number in range((window.end - window.start).days):
        start = window.start + timedelta(days=number)
        day = Window(start, start + timedelta(days=1), window.now)
        hours = expected.open_interest(60, units="own")(market, listing, day).filter(pl.col("event_at") > floor)
        found.append(hours.select(pl.lit("1h").alias("period"), pl.all()))
        if start + timedelta(hours=1) < floor:
            end = expected.open_interest(1440, units="own")(market, listing, day)
            found.append(end.select(pl.lit("1d").alias("period"), pl.all()))
    return pl.concat(found)


KUCOIN: Final = VenueCase(
    "kucoin", kucoin, kucoin.LISTINGS,
    crowd("kucoin", "{}USDTM", inverse="{}USDM", scaled="1000{}USDTM", size=0.01, inverse_size=1.0)[:SMALL],
    (
        FeedCase("open_interest", "open_interest", finest_kept, days=69),
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
    ),
    day=NEW_DAY,
)  # fmt: skip


MEXC: Final = VenueCase(
    "mexc", mexc, mexc.LISTINGS,
    crowd("mexc", "{}_USDT", inverse="{}_USD", scaled="1000{}_USDT", size=0.01, inverse_size=10.0)[:SMALL],
    (
        FeedCase("funding", "funding_rates", expected.funding("interval_hours")),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
    ),
    captured=(FeedCase("open_interest", "open_interest", expected.open_interest_now(1), whole=True),),
    day=NEW_DAY,
)  # fmt: skip


def held_in_dollars(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    return expected.open_interest_now(1, units="both")(market, listing, window).select("oi_usd")


BINGX: Final = VenueCase(
    "bingx", bingx, bingx.LISTINGS, crowd("bingx", "{}-USDT", scaled="1000{}-USDT")[:SMALL],
    (
        FeedCase("funding", "funding_rates", expected.funding("mark_price")),
        FeedCase("candles", "candles", expected.candles("volume_base")),
    ),
    captured=(FeedCase("open_interest", "open_interest", held_in_dollars),),
    day=NEW_DAY,
)  # fmt: skip

PHEMEX: Final = VenueCase(
    "phemex", phemex, phemex.LISTINGS, crowd("phemex", "{}USDT", scaled="1000{}USDT")[:SMALL],
    (
        FeedCase("funding", "funding_rates", expected.funding("interval_hours")),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
    ),
    captured=(FeedCase("open_interest", "open_interest", SNAPSHOT, whole=True),),
    day=NEW_DAY,
)  # fmt: skip

MORE_CASES: Final = (BINGX, BITGET, HTX, KUCOIN, MEXC, PHEMEX)
