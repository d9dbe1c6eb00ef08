"""End-to-end cases of each exchange: what is fetched from its emulator and what the clean tables must contain.

One case per venue; test_end_to_end.py runs them, expected.py computes the expected rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.sandbox.market_model import AnalyticMarket, Listing, Measure
from pipelines.sandbox.venues import (
    aster,
    binance,
    binance_archive,
    bitfinex,
    bybit,
    cftc,
    coinalyze,
    deribit,
    dydx,
    edgex,
    gate,
    hyperliquid,
    kraken,
    lighter,
    okx,
    orderly,
    paradex,
)
from tests.sources import expected as expected
from tests.sources.expected import VOLUMES, ExpectedRows, Window
from tests.sources.more_venue_cases import MORE_CASES
from tests.sources.venue_case import (
    ARCHIVE_NOW,
    CROWD,
    FeedCase,
    Listings,
    VenueCase,
    anything,
    chains,
    crowd,
    is_inverse,
    is_linear,
    is_spot,
    named,
)

ALL_FOUR: Final[Sequence[Measure]] = ("account_global", "account_top", "position_top", "taker_volume")

CROWD_OF_BINANCE: Final = (
    # The coins with a volatility index.
    *binance_archive.LISTINGS[:2],
    *crowd("binance", "{}USDT", inverse="{}USD_PERP", scaled="1000{}USDT", spot="{}/USDT", inverse_size=10.0),
)

BINANCE: Final = VenueCase(
    "binance", binance, binance_archive.LISTINGS,
    CROWD_OF_BINANCE,
    (
        FeedCase("open_interest", "open_interest", expected.open_interest(5), days=29),
        FeedCase("long_short_ratios", "long_short_ratios", expected.ratios(5, *ALL_FOUR, of_inverse=ALL_FOUR[:3]), days=29),
        FeedCase("funding", "funding_rates", expected.funding("mark_price")),
        FeedCase("candles", "candles", expected.candles(*VOLUMES, "taker_buy_base", "trades"), of=anything),
    ),
    slow_feeds=("long_short_ratios",),
    captured=(
        FeedCase("predicted_funding", "funding_rates", expected.next_funding),
        FeedCase("option_chain", "option_chain", expected.option_chain("underlying_price"), key="underlying",
             about=chains("BTC", "ETH")),
    ),
    overrides=lambda listings: {"BY_SYMBOL": {
        ({"linear": "fapi", "inverse": "dapi", "spot": "spot"}[x.contract_type], x.instrument.replace("/", "")): x
        for x in listings
    }},
)  # fmt: skip


def without_sentinels(rows: ExpectedRows) -> ExpectedRows:
    """Excludes the two timestamps at which every column of Binance's archive is zero."""

    def outside(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        return rows(market, listing, window).filter(~pl.col("event_at").is_in(binance_archive.SENTINELS))

    return outside


def forced_orders(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """Liquidations in the archive, whose quantities are contracts."""
    usd = (pl.col("quantity_base") * listing.contract_size).alias("notional_usd")
    return expected.liquidations(usd, columns=("price",))(market, listing, window)


UM_RATIOS: Final = without_sentinels(expected.ratios(5, *ALL_FOUR))
CM_RATIOS: Final = without_sentinels(expected.ratios(5, "taker_volume"))
TRADED: Final = expected.candles(*VOLUMES, "taker_buy_base", "trades")

BINANCE_ARCHIVE: Final = VenueCase(
    "binance_archive", binance_archive, binance_archive.LISTINGS,
    CROWD_OF_BINANCE,
    (
        *(
            FeedCase(feed, table, rows, of=of, lag=1)
            for feed, of, ratios in (("um_metrics", is_linear, UM_RATIOS), ("cm_metrics", is_inverse, CM_RATIOS))
            for table, rows in (
                ("open_interest", without_sentinels(expected.open_interest(5))), ("long_short_ratios", ratios),
            )
        ),
        FeedCase("funding", "funding_rates", expected.funding("interval_hours"), lag=1, months=True),
        FeedCase("um_candles", "candles", TRADED, of=is_linear, lag=1),
        FeedCase("cm_candles", "candles", TRADED, of=is_inverse, lag=1),
        FeedCase("spot_candles", "candles", TRADED, of=is_spot, lag=1),
        FeedCase("um_mark_candles", "candles", expected.candles(candle_market="mark"), of=is_linear, lag=1),
        FeedCase("um_index_candles", "candles", expected.candles(candle_market="index"), of=is_linear, lag=1),
        FeedCase("cm_mark_candles", "candles", expected.candles(candle_market="mark"), of=is_inverse, lag=1),
        FeedCase("cm_liquidations", "liquidations", forced_orders, of=is_inverse, until=date(2024, 10, 14)),
        FeedCase("volatility_index", "volatility_index", expected.volatility_index, lag=1, key="index_name",
             about=named(BTC="BVOL-BTC", ETH="BVOL-ETH")),
    ),
    slow_feeds=("um_metrics", "cm_metrics", "um_mark_candles", "um_index_candles", "cm_mark_candles"),
    now=ARCHIVE_NOW, day=date(2024, 10, 1),
    overrides=lambda listings: {
        "BY_SYMBOL": {
            ({"linear": "futures/um", "inverse": "futures/cm", "spot": "spot"}[x.contract_type],
             x.instrument.replace("/", "")): x for x in listings
        },
        "KEYS_PER_PAGE": 50,
    },
    allowed_rejects=frozenset({("um_metrics", "sentinel"), ("cm_metrics", "sentinel")}),
)  # fmt: skip

BITFINEX: Final = VenueCase(
    "bitfinex", bitfinex, bitfinex.LISTINGS, crowd("bitfinex", "t{}F0:USTF0"),
    (
        FeedCase("liquidations", "liquidations", expected.liquidations(), whole=True),
        FeedCase("open_interest", "open_interest", expected.open_interest(60, units="base")),
    ),
    assets=("BTC", "ETH", "AVAX"), slow_feeds=("open_interest",), routes=lambda _: bitfinex.routes(),
)  # fmt: skip

# Bybit prints shares with four decimals.
SHARE: Final = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4).alias("long_share")

BYBIT: Final = VenueCase(
    "bybit", bybit, bybit.LISTINGS,
    crowd("bybit", "{}USDT", inverse="{}USD", scaled="1000{}USDT", spot="{}/USDT", inverse_size=1.0),
    (
        FeedCase("open_interest", "open_interest", expected.open_interest(5, units="own")),
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("long_short_ratios", "long_short_ratios", expected.ratios(60, "account_global", value=SHARE)),
        FeedCase("candles", "candles", expected.candles(*VOLUMES), of=anything),
    ),
    captured=(
        FeedCase("option_chain", "option_chain", expected.option_chain(), key="underlying", about=chains("BTC", "ETH")),
        FeedCase("risk_tiers", "risk_tiers", expected.risk_tiers()),
    ),
    slow_feeds=("open_interest",), routes=lambda listings: bybit.routes(listings=listings),
)  # fmt: skip


def daily_funding(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """The last settlement of each day, which is taken as the 16:00 settlement."""
    last = market.funding(listing, window.start, window.end).group_by(day=pl.col("settled_at").dt.truncate("1d"))
    rates = last.agg(pl.col("rate").sort_by("settled_at").last())
    return rates.select((pl.col("day") + timedelta(hours=16)).alias("settled_at"), "rate")


def is_settled_at_16(listing: Listing) -> bool:
    """Coins that certainly pay funding every 8 hours, on venues that do."""
    return listing.venue != "hyperliquid" and listing.asset in ("BTC", "ETH")


def daily_totals(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """Totals in coin, for inverse contracts in dollars."""
    unit = "usd" if is_inverse(listing) else "base"
    return expected.liquidation_totals(1440)(market, listing, window).select(
        "event_at", f"long_{unit}", f"short_{unit}"
    )


def tuesdays(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """The states at the end of every Tuesday."""
    rows = expected.open_interest(1440, units="base")(market, listing, window)
    return rows.filter(pl.col("event_at").dt.weekday() == 3)


CFTC: Final = VenueCase(
    "cftc", cftc, cftc.LISTINGS, cftc.LISTINGS,
    (FeedCase("open_interest", "open_interest", tuesdays, lag=4, whole=True),),
    assets=("BTC", "ETH"), day=date(2026, 6, 16),
)  # fmt: skip

COINALYZE: Final = VenueCase(
    "coinalyze", coinalyze, tuple(x for x in coinalyze.BY_NAME.values() if x.venue != "huobi"),
    (
        coinalyze.BY_NAME["bybit:BTCUSDT"], coinalyze.BY_NAME["bybit:ETHUSDT"],
        *(Listing("binance" if n % 2 else "bybit", f"C{n:03}USDT", f"C{n:03}") for n in range(CROWD)),
    ),
    (
        FeedCase("open_interest", "open_interest", expected.open_interest(1440, units="own")),
        FeedCase("funding_rate", "funding_rates", daily_funding, of=is_settled_at_16),
        FeedCase("liquidations", "liquidation_totals", daily_totals, of=is_linear),
        FeedCase("liquidations", "liquidation_totals", daily_totals, of=is_inverse),
        FeedCase("long_short_ratio", "long_short_ratios", expected.ratios(1440, "account_global")),
        FeedCase("ohlcv", "candles", expected.candles("volume_base", minutes=1440, volume="own"), of=is_linear),
        FeedCase("ohlcv", "candles", expected.candles("volume_quote", minutes=1440, volume="own"), of=is_inverse),
    ),
    overrides=lambda listings: {
        "LISTED": {
            f"{x.instrument}_PERP.A" if x.venue == "binance" else f"{x.instrument}.6": (x.venue.capitalize(), x)
            for x in listings
        }
    },
)  # fmt: skip

PERPETUAL_INDICES: Final = named(BTC="DVOL-BTC", ETH="DVOL-ETH")

DERIBIT: Final = VenueCase(
    "deribit", deribit, deribit.LISTINGS,
    # Inverse perpetuals exist for two currencies; all others are in USDC.
    (*deribit.LISTINGS[:2], *crowd("deribit", "{}_USDC-PERPETUAL", quote="USDC", size=1.0, interval_hours=1)),
    (
        FeedCase("funding", "funding_rates", expected.funding("interval_hours")),
        FeedCase("volatility_index", "volatility_index", expected.volatility_index, key="index_name", about=PERPETUAL_INDICES),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
        FeedCase("liquidations", "liquidations", expected.liquidations(), lag=1, whole=True),
    ),
    captured=(
        FeedCase("open_interest", "open_interest", expected.open_interest_now(1), whole=True),
        *(
            FeedCase("option_chain", "option_chain", expected.option_chain("delta"), key="underlying", about=chains(coin))
            for coin in deribit.OPTION_COINS
        ),
    ),
    assets=("BTC", "ETH", "SOL"), slow_feeds=("liquidations",),
)  # fmt: skip

# Every third liquidation of the emulator is deleveraging.
IS_ADL: Final = (pl.col("number") % 3 == 0).alias("is_adl")

DYDX: Final = VenueCase(
    "dydx", dydx, dydx.LISTINGS, crowd("dydx", "{}-USD", quote="USD", interval_hours=1),
    (
        FeedCase("liquidations", "liquidations", expected.liquidations(IS_ADL)),
        FeedCase("funding", "funding_rates", expected.funding("interval_hours", "mark_price")),
        FeedCase("candles", "candles", expected.candles(*VOLUMES, "trades")),
        FeedCase("candles", "open_interest", expected.open_interest(60, units="base")),
    ),
    assets=("BTC", "ETH", "SOL"), slow_feeds=("liquidations",),
    # A market named after a token address.
    allowed_rejects=frozenset({("instruments", "unknown_instrument")}),
)  # fmt: skip

GATE: Final = VenueCase(
    "gate", gate, gate.LISTINGS, crowd("gate", "{}_USDT", inverse="{}_USD", size=0.01, inverse_size=1.0),
    (
        FeedCase("contract_stats", "open_interest", expected.open_interest(5, units="known"), rel_tol=1e-9),
        FeedCase("contract_stats", "liquidation_totals", expected.liquidation_totals(5), rel_tol=1e-9),
        FeedCase("contract_stats", "long_short_ratios", expected.ratios(5, *ALL_FOUR)),
        FeedCase("liq_orders", "liquidations", expected.liquidations(seconds=True), whole=True, rel_tol=1e-9),
        FeedCase("funding_rate", "funding_rates", expected.funding()),
        FeedCase("candlesticks", "candles", expected.candles(*VOLUMES, volume="known")),
    ),
    captured=(FeedCase("risk_tiers", "risk_tiers", expected.risk_tiers()),),
    slow_feeds=("contract_stats", "liq_orders"),
)  # fmt: skip


def liquidated_days(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """The file has every second coin on every second day."""
    sums = (
        market.liquidations(listing, window.start, window.end)
        .group_by(pl.col("occurred_at").dt.truncate("1d").alias("event_at"))
        .agg((pl.col("price") * pl.col("quantity_base")).sum().round(6).alias("total_usd"))
    )
    index = list(hyperliquid.BY_NAME).index(listing.instrument)
    return sums.filter((index + pl.col("event_at").dt.day()) % 2 == 1)


def is_deployed(listing: Listing) -> bool:
    """Whether an exchange that others deploy on Hyperliquid lists it."""
    return ":" in listing.instrument


def is_own(listing: Listing) -> bool:
    return ":" not in listing.instrument


HYPERLIQUID: Final = VenueCase(
    "hyperliquid", hyperliquid, hyperliquid.LISTINGS,
    (
        *crowd("hyperliquid", "{}", scaled="k{}", quote="USDC", interval_hours=1),
        *crowd("hyperliquid", "xyz:{}", quote="USDC", interval_hours=1)[:20],
        *crowd("hyperliquid", "flx:{}", quote="USDH", interval_hours=1)[:20],
    ),
    (
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("candles", "candles", expected.candles("volume_base", "trades"), days=207),
        FeedCase("liquidation_totals", "liquidation_totals", liquidated_days, of=is_own, lag=1, whole=True),
    ),
    captured=(
        *(
            FeedCase(feed, table, rows, of=of, whole=True)
            for feed, of in (("contexts", is_own), ("dex_contexts", is_deployed))
            for table, rows in (
                ("open_interest", expected.open_interest_now(60, units="base")), ("funding_rates", expected.next_funding),
            )
        ),
        FeedCase("risk_tiers", "risk_tiers", expected.risk_tiers(initial=False, open_end=True), whole=True),
    ),
)  # fmt: skip

# Out of a thousand accounts.
LONGS: Final = (kraken.longs() / 1000).alias("long_share")


def of_both_clients(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """The tiers of professional clients, and the single one of retail clients."""
    tiers = expected.risk_tiers(of_inverse="contracts", deduction=False, open_end=True)(market, listing, window)
    retail = tiers.head(1).with_columns(
        pl.lit("retail").alias("schedule"),
        *(pl.lit(None, pl.Float64).alias(f"upper_bound{unit}") for unit in ("", "_usd", "_base")),
        *(pl.lit(value).alias(name) for name, value in
          {"max_leverage": 2.0, "initial_margin_rate": 0.5, "maintenance_margin_rate": 0.25}.items()),
    )  # fmt: skip
    return pl.concat([tiers, retail])


KRAKEN: Final = VenueCase(
    "kraken", kraken, kraken.LISTINGS,
    crowd("kraken", "PF_{}USD", inverse="PI_{}USD", quote="USD", size=1.0, inverse_size=1.0, interval_hours=1),
    (
        FeedCase("open_interest", "open_interest", expected.open_interest(5, units="own")),
        FeedCase("long_short_info", "long_short_ratios", expected.ratios(5, "account_global", value=LONGS)),
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("candles", "candles", expected.candles(*VOLUMES, volume="own")),
    ),
    captured=(FeedCase("risk_tiers", "risk_tiers", of_both_clients, whole=True),),
    # Every funding response of Kraken has the whole history: a year of it for few listings, some weeks for the crowd.
    slow_feeds=("open_interest", "long_short_info", "funding"),
    routes=lambda listings: kraken.routes(kraken.ResponseBehavior(funding_days=400 if len(listings) < CROWD else 20)),
)  # fmt: skip


def finest(
    rows_at: Callable[[int], ExpectedRows], retentions: Mapping[int, timedelta], *, lag: int = 0
) -> ExpectedRows:
    """Each day at the finest period (in minutes) for which OKX still has the whole day, plus finer periods where available.

    `retentions` are the retentions by period; `lag` is 1 if timestamps are period starts.
    """

    def rows(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
        found = []
        for number in range((window.end - window.start).days):
            start = window.start + timedelta(days=number)
            day = Window(start, start + timedelta(days=1), window.now)
            for minutes, retention in retentions.items():
                step = timedelta(minutes=minutes)
                # Exclusive, since the venue's clock has advanced past the full hour.
                floor = window.now - retention + lag * step
                frame = rows_at(minutes)(market, listing, day).filter(pl.col("event_at") > floor)
                period = f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"
                found.append(frame.select(pl.lit(period).alias("period"), pl.all()))
                if floor < start + step:
                    break
        return pl.concat(found)

    return rows


KEPT: Final = {minutes: timedelta(minutes=minutes * okx.KEPT_ENTRIES) for minutes in okx.BARS.values()}
KEPT_BY_COIN: Final = {okx.BARS[bar]: retention for bar, retention in okx.KEPT_BY_COIN.items()}


def whole_coins(listings: Listings) -> Listings:
    """Statistics of a coin over all its contracts."""
    return [okx.WHOLE_COINS[asset] for asset in dict.fromkeys(x.asset for x in listings)]


def positioning(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """Two statistics of one feed; timestamps of the second are period starts."""
    accounts = finest(lambda minutes: expected.ratios(minutes, "account_global"), KEPT_BY_COIN)
    takers = finest(lambda minutes: expected.ratios(minutes, "taker_volume"), KEPT_BY_COIN, lag=1)
    return pl.concat([accounts(market, listing, window), takers(market, listing, window)])


OKX: Final = VenueCase(
    "okx", okx, okx.LISTINGS,
    crowd("okx", "{}-USDT-SWAP", inverse="{}-USD-SWAP", size=0.01, inverse_size=10.0),
    (
        FeedCase("open_interest", "open_interest", finest(expected.open_interest, KEPT), days=239),
        FeedCase("top_traders", "long_short_ratios", days=239, rows=finest(
            lambda minutes: expected.ratios(minutes, "account_top", "position_top"), KEPT)),
        FeedCase("positioning", "long_short_ratios", positioning, days=29, about=whole_coins),
        FeedCase("funding", "funding_rates", expected.funding(), days=89),
        FeedCase("funding_archive", "funding_rates", expected.funding(), lag=36, months=True),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
    ),
    captured=(
        FeedCase("liquidations", "liquidations", expected.liquidations_kept(1)),
        FeedCase("option_chain", "option_chain", expected.option_chain(), key="underlying", about=chains("BTC", "ETH")),
        FeedCase("risk_tiers", "risk_tiers", expected.risk_tiers(unit="contracts", of_inverse="contracts", deduction=False)),
    ),
    slow_feeds=("open_interest", "top_traders"),
    overrides=lambda listings: {
        "WHOLE_COINS": {x.asset: Listing("okx", f"{x.asset}-CONTRACTS", x.asset) for x in listings}
    },
)  # fmt: skip

ORDERLY: Final = VenueCase(
    "orderly", orderly, orderly.LISTINGS,
    crowd("orderly", "PERP_{}_USDC", scaled="PERP_1000{}_USDC", quote="USDC"),
    (FeedCase("liquidations", "liquidations", expected.liquidations(columns=("quantity_base",)), whole=True),),
)  # fmt: skip

ASTER: Final = VenueCase(
    "aster", aster, aster.LISTINGS, crowd("aster", "{}USDT", scaled="1000{}USDT"),
    (
        FeedCase("funding", "funding_rates", expected.funding()),
        FeedCase("candles", "candles", expected.candles(*VOLUMES, "taker_buy_base", "trades")),
    ),
    captured=(FeedCase("open_interest", "open_interest", expected.open_interest_now(60, units="base")),),
)  # fmt: skip


def lighter_days(market: AnalyticMarket, listing: Listing, window: Window) -> pl.DataFrame:
    """Dollars at the end of every day since the venue's first."""
    start = max(window.start, lighter.FIRST_DAY - timedelta(days=1))
    return expected.open_interest(1440)(market, listing, Window(start, window.end, window.now)).select(
        "event_at", "oi_usd"
    )


LIGHTER: Final = VenueCase(
    "lighter", lighter, lighter.LISTINGS, crowd("lighter", "{}", scaled="1000{}", quote="USDC", interval_hours=1),
    (
        FeedCase("daily_open_interest", "open_interest", lighter_days),
        FeedCase("funding", "funding_rates", expected.funding("interval_hours")),
        FeedCase("candles", "candles", expected.candles(*VOLUMES)),
    ),
    captured=(FeedCase("details", "open_interest", expected.open_interest_now(60, units="base"), whole=True),),
)  # fmt: skip

EDGEX: Final = VenueCase(
    "edgex", edgex, edgex.LISTINGS, crowd("edgex", "{}USDC", scaled="1000{}USDC", quote="USDC", interval_hours=4),
    (
        FeedCase("funding", "funding_rates", expected.funding("interval_hours", "mark_price"), days=52),
        FeedCase("candles", "candles", expected.candles(*VOLUMES, "trades"), days=52),
    ),
    captured=(
        FeedCase("ticker", "open_interest", expected.open_interest_now(60, units="base")),
        FeedCase("risk_tiers", "risk_tiers", expected.risk_tiers(initial=False, deduction=False), whole=True),
    ),
)  # fmt: skip

PARADEX: Final = VenueCase(
    "paradex", paradex, paradex.LISTINGS, crowd("paradex", "{}-USD-PERP", quote="USD", interval_hours=1)[:6],
    (
        FeedCase("open_interest", "open_interest", expected.open_interest(60, units="base"), days=234),
        # The rate is a difference of sums.
        FeedCase("funding", "funding_rates", expected.funding("interval_hours", "mark_price"), rel_tol=1e-6, abs_tol=1e-13),
        FeedCase("candles", "candles", expected.candles()),
        FeedCase("liquidations", "liquidations", expected.liquidations()),
    ),
    captured=(FeedCase("summary", "open_interest", expected.open_interest_now(60, units="base"), whole=True),),
    # A request for every hour.
    assets=("BTC", "ETH", "SOL"), slow_feeds=("open_interest", "funding", "liquidations"),
)  # fmt: skip

VENUE_CASES: Final = (
    ASTER, BINANCE, BINANCE_ARCHIVE, BITFINEX, BYBIT, CFTC, COINALYZE, DERIBIT, DYDX, EDGEX, GATE, HYPERLIQUID, KRAKEN, LIGHTER,
    OKX, ORDERLY, PARADEX, *MORE_CASES,
)  # fmt: skip
