"""The whole way of each exchange: what is asked of its emulator, and what the clean tables must hold afterwards.

One row per venue; the tests that walk it are in test_whole_way.py, the truths in truths.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import ModuleType
from typing import Any, Final

import polars as pl

from pipelines.sandbox.emulator import Route
from pipelines.sandbox.market_model import AnalyticMarket, Listing, Measure
from pipelines.sandbox.venues import (
    binance,
    binance_archive,
    bitfinex,
    bybit,
    coinalyze,
    deribit,
    dydx,
    gate,
    hyperliquid,
    kraken,
    okx,
    orderly,
)
from tests.sources import expected as truths
from tests.sources.expected import VOLUMES, Truth, When

NOW: Final = datetime(2026, 7, 3, 6)
"""The year before it crosses the day on which Bybit's singleOpenInterest appeared."""

ARCHIVE_NOW: Final = datetime(2025, 6, 3, 6)
"""The year before it crosses the end of the liquidation archive, the first microseconds of spot files, and a sentinel."""

YEAR: Final = 365
CROWD: Final = 200
BIG_THREE: Final = ("BTC", "ETH", "PEPE")

Listings = Sequence[Listing]


def is_perpetual(listing: Listing) -> bool:
    return listing.contract_type != "spot"


def is_linear(listing: Listing) -> bool:
    return listing.contract_type == "linear"


def is_inverse(listing: Listing) -> bool:
    return listing.contract_type == "inverse"


def is_spot(listing: Listing) -> bool:
    return listing.contract_type == "spot"


def anything(listing: Listing) -> bool:
    return True


@dataclass(frozen=True)
class Fact:
    """What a feed must bring into a table: `truth` of every listing that `of` picks.

    `days` are how many days before its clock the venue remembers, `lag` how many of the newest it has not published yet; it
    stops with the day `until`. A feed of `months` brings those that are over, whole. A feed that is asked for the `whole` venue
    tells of all listings, whatever the assets. `about` replaces the listings where rows are about something else, which the
    column `key` names.
    """

    feed: str
    table: str
    truth: Truth
    of: Callable[[Listing], bool] = is_perpetual
    days: int = YEAR
    lag: int = 0
    until: date | None = None
    months: bool = False
    whole: bool = False
    key: str = "instrument"
    about: Callable[[Listings], Listings] | None = None
    rel_tol: float = 1e-12

    def when(self, first: date, last: date, now: datetime) -> When | None:
        """The part of the days from `first` through `last` that the venue tells of; None if it is none of them."""
        published = now.date() - timedelta(days=1 + self.lag)
        first = max(first, now.date() - timedelta(days=self.days))
        last = min(last, self.until or last)
        if self.months:
            first, last = first.replace(day=1), month_end(last)
            last = last if last <= published else published.replace(day=1) - timedelta(days=1)
        last = min(last, published)
        start, end = (datetime(day.year, day.month, day.day) for day in (first, last + timedelta(days=1)))
        return When(start, end, now) if start < end else None


def month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class Way:
    """One venue. A year is asked of `assets` among `listings`, which are the emulator's own; for the day of the whole universe
    the emulator lists `crowd` instead, and `instead` says which other names of its module follow from that.

    `long` feeds bring so much in a year that only the slow suite waits for them; the day has them all. `captured` is of the
    moment and comes with the day. `turned_away` says of which feeds something may be in quarantine, and why.
    """

    venue: str
    emulated: ModuleType
    listings: Listings
    crowd: Listings
    facts: Sequence[Fact]
    captured: Sequence[Fact] = ()
    long: Sequence[str] = ()
    assets: Sequence[str] = BIG_THREE
    now: datetime = NOW
    day: date = date(2026, 6, 15)
    instead: Callable[[Listings], Mapping[str, Any]] | None = None
    routes: Callable[[Listings], Sequence[Route]] | None = None
    """Where those of the module do not follow from its names."""
    rejected_logs: frozenset[tuple[str, str]] = frozenset()


def crowd(
    venue: str,
    linear: str,
    *,
    inverse: str = "",
    scaled: str = "",
    spot: str = "",
    quote: str = "USDT",
    size: float | None = None,
    inverse_size: float | None = None,
    interval_hours: int = 8,
) -> tuple[Listing, ...]:
    """Two hundred perpetuals named by these patterns: one in ten inverse and one in ten scaled, where there are such; and three
    spot pairs. Their prices follow from their names."""
    listings = []
    for number in range(CROWD):
        asset = f"C{number:03}"
        if inverse and number % 10 == 3:
            one = Listing(
                venue, inverse.format(asset), asset, quote="USD", contract_type="inverse", contract_size=inverse_size,
                contract_size_unit="usd", interval_hours=interval_hours,
            )  # fmt: skip
        else:
            is_scaled = bool(scaled) and number % 10 == 7
            one = Listing(
                venue, (scaled if is_scaled else linear).format(asset), asset, quote=quote, contract_size=size,
                contract_size_unit="base" if size else None, multiplier=1000.0 if is_scaled else 1.0,
                interval_hours=interval_hours,
            )  # fmt: skip
        listings.append(one)
    pairs = [Listing(venue, spot.format(f"C{n:03}"), f"C{n:03}", contract_type="spot") for n in range(3) if spot]
    return (*listings, *pairs)


def named(**names: str) -> Callable[[Listings], Listings]:
    """Rows about assets, under these names."""
    return lambda listings: [Listing(listings[0].venue, name, asset) for asset, name in names.items()]


def chains(*assets: str) -> Callable[[Listings], Listings]:
    return named(**{asset: asset for asset in assets})


ALL_FOUR: Final[Sequence[Measure]] = ("account_global", "account_top", "position_top", "taker_volume")

CROWD_OF_BINANCE: Final = (
    # The coins with a volatility index.
    *binance_archive.LISTINGS[:2],
    *crowd("binance", "{}USDT", inverse="{}USD_PERP", scaled="1000{}USDT", spot="{}/USDT", inverse_size=10.0),
)

BINANCE: Final = Way(
    "binance", binance, binance_archive.LISTINGS,
    CROWD_OF_BINANCE,
    (
        Fact("open_interest", "open_interest", truths.open_interest(5), days=29),
        Fact("long_short_ratios", "long_short_ratios", truths.ratios(5, *ALL_FOUR, of_inverse=ALL_FOUR[:3]), days=29),
        Fact("funding", "funding_rates", truths.funding("mark_price")),
        Fact("candles", "candles", truths.candles(*VOLUMES, "taker_buy_base", "trades"), of=anything),
    ),
    long=("long_short_ratios",),
    captured=(
        Fact("predicted_funding", "funding_rates", truths.next_funding),
        Fact("option_chain", "option_chain", truths.option_chain("underlying_price"), key="underlying",
             about=chains("BTC", "ETH")),
    ),
    instead=lambda listings: {"BY_PLACE": {
        ({"linear": "fapi", "inverse": "dapi", "spot": "spot"}[x.contract_type], x.instrument.replace("/", "")): x
        for x in listings
    }},
)  # fmt: skip


def without_sentinels(truth: Truth) -> Truth:
    """Two stamps at which Binance's archive is zero in every column."""

    def outside(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        return truth(model, listing, when).filter(~pl.col("event_at").is_in(binance_archive.SENTINELS))

    return outside


def forced_orders(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """Quantities of the archive are whole contracts."""
    usd = (pl.col("quantity_base") * listing.contract_size).alias("notional_usd")
    return truths.liquidations(usd, columns=("price",))(model, listing, when)


UM_RATIOS: Final = without_sentinels(truths.ratios(5, *ALL_FOUR))
CM_RATIOS: Final = without_sentinels(truths.ratios(5, "taker_volume"))
TRADED: Final = truths.candles(*VOLUMES, "taker_buy_base", "trades")

BINANCE_ARCHIVE: Final = Way(
    "binance_archive", binance_archive, binance_archive.LISTINGS,
    CROWD_OF_BINANCE,
    (
        *(
            Fact(feed, table, truth, of=of, lag=1)
            for feed, of, ratios in (("um_metrics", is_linear, UM_RATIOS), ("cm_metrics", is_inverse, CM_RATIOS))
            for table, truth in (
                ("open_interest", without_sentinels(truths.open_interest(5))), ("long_short_ratios", ratios),
            )
        ),
        Fact("funding", "funding_rates", truths.funding("interval_hours"), lag=1, months=True),
        Fact("um_candles", "candles", TRADED, of=is_linear, lag=1),
        Fact("cm_candles", "candles", TRADED, of=is_inverse, lag=1),
        Fact("spot_candles", "candles", TRADED, of=is_spot, lag=1),
        Fact("um_mark_candles", "candles", truths.candles(market="mark"), of=is_linear, lag=1),
        Fact("um_index_candles", "candles", truths.candles(market="index"), of=is_linear, lag=1),
        Fact("cm_mark_candles", "candles", truths.candles(market="mark"), of=is_inverse, lag=1),
        Fact("cm_liquidations", "liquidations", forced_orders, of=is_inverse, until=date(2024, 10, 14)),
        Fact("volatility_index", "volatility_index", truths.volatility_index, lag=1, key="index_name",
             about=named(BTC="BVOL-BTC", ETH="BVOL-ETH")),
    ),
    long=("um_metrics", "cm_metrics", "um_mark_candles", "um_index_candles", "cm_mark_candles"),
    now=ARCHIVE_NOW, day=date(2024, 10, 1),
    instead=lambda listings: {
        "BY_PLACE": {
            ({"linear": "futures/um", "inverse": "futures/cm", "spot": "spot"}[x.contract_type],
             x.instrument.replace("/", "")): x for x in listings
        },
        "KEYS_PER_PAGE": 50,
    },
    rejected_logs=frozenset({("um_metrics", "sentinel"), ("cm_metrics", "sentinel")}),
)  # fmt: skip

BITFINEX: Final = Way(
    "bitfinex", bitfinex, bitfinex.LISTINGS, crowd("bitfinex", "t{}F0:USTF0"),
    (
        Fact("liquidations", "liquidations", truths.liquidations(), whole=True),
        Fact("open_interest", "open_interest", truths.open_interest(60, units="base")),
    ),
    assets=("BTC", "ETH", "AVAX"), long=("open_interest",), routes=lambda _: bitfinex.routes(),
)  # fmt: skip

# Bybit prints shares with four decimals.
SHARE: Final = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4).alias("long_share")

BYBIT: Final = Way(
    "bybit", bybit, bybit.LISTINGS,
    crowd("bybit", "{}USDT", inverse="{}USD", scaled="1000{}USDT", spot="{}/USDT", inverse_size=1.0),
    (
        Fact("open_interest", "open_interest", truths.open_interest(5, units="own")),
        Fact("funding", "funding_rates", truths.funding()),
        Fact("long_short_ratios", "long_short_ratios", truths.ratios(60, "account_global", value=SHARE)),
        Fact("candles", "candles", truths.candles(*VOLUMES), of=anything),
    ),
    captured=(
        Fact("option_chain", "option_chain", truths.option_chain(), key="underlying", about=chains("BTC", "ETH")),
    ),
    long=("open_interest",), routes=lambda listings: bybit.routes(listings=listings),
)  # fmt: skip


def daily_funding(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """The last settlement of each day, which the vendor is taken to mean that of 16:00."""
    last = model.funding(listing, when.start, when.end).group_by(day=pl.col("settled_at").dt.truncate("1d"))
    rates = last.agg(pl.col("rate").sort_by("settled_at").last())
    return rates.select((pl.col("day") + timedelta(hours=16)).alias("settled_at"), "rate")


def is_settled_at_16(listing: Listing) -> bool:
    """Where funding is paid every 8 hours, and of the coins of which that is certain."""
    return listing.venue != "hyperliquid" and listing.asset in ("BTC", "ETH")


def daily_totals(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """In coins; of inverse contracts in dollars."""
    unit = "usd" if is_inverse(listing) else "base"
    return truths.liquidation_totals(1440)(model, listing, when).select("event_at", f"long_{unit}", f"short_{unit}")


COINALYZE: Final = Way(
    "coinalyze", coinalyze, tuple(x for x in coinalyze.BY_NAME.values() if x.venue != "huobi"),
    (
        coinalyze.BY_NAME["bybit:BTCUSDT"], coinalyze.BY_NAME["bybit:ETHUSDT"],
        *(Listing("binance" if n % 2 else "bybit", f"C{n:03}USDT", f"C{n:03}") for n in range(CROWD)),
    ),
    (
        Fact("open_interest", "open_interest", truths.open_interest(1440, units="own")),
        Fact("funding_rate", "funding_rates", daily_funding, of=is_settled_at_16),
        Fact("liquidations", "liquidation_totals", daily_totals, of=is_linear),
        Fact("liquidations", "liquidation_totals", daily_totals, of=is_inverse),
        Fact("long_short_ratio", "long_short_ratios", truths.ratios(1440, "account_global")),
        Fact("ohlcv", "candles", truths.candles("volume_base", minutes=1440, volume="own"), of=is_linear),
        Fact("ohlcv", "candles", truths.candles("volume_quote", minutes=1440, volume="own"), of=is_inverse),
    ),
    instead=lambda listings: {
        "LISTED": {
            f"{x.instrument}_PERP.A" if x.venue == "binance" else f"{x.instrument}.6": (x.venue.capitalize(), x)
            for x in listings
        }
    },
)  # fmt: skip

PERPETUAL_INDICES: Final = named(BTC="DVOL-BTC", ETH="DVOL-ETH")

DERIBIT: Final = Way(
    "deribit", deribit, deribit.LISTINGS,
    # Inverse perpetuals are of two currencies; all others are in USDC.
    (*deribit.LISTINGS[:2], *crowd("deribit", "{}_USDC-PERPETUAL", quote="USDC", size=1.0, interval_hours=1)),
    (
        Fact("funding", "funding_rates", truths.funding("interval_hours")),
        Fact("volatility_index", "volatility_index", truths.volatility_index, key="index_name", about=PERPETUAL_INDICES),
        Fact("candles", "candles", truths.candles(*VOLUMES)),
        Fact("liquidations", "liquidations", truths.liquidations(), lag=1, whole=True),
    ),
    captured=(
        Fact("open_interest", "open_interest", truths.open_interest_now(1), whole=True),
        *(
            Fact("option_chain", "option_chain", truths.option_chain("delta"), key="underlying", about=chains(coin))
            for coin in deribit.OPTION_COINS
        ),
    ),
    assets=("BTC", "ETH", "SOL"), long=("liquidations",),
)  # fmt: skip

# Every third liquidation of the emulator is deleveraging.
IS_ADL: Final = (pl.col("number") % 3 == 0).alias("is_adl")

DYDX: Final = Way(
    "dydx", dydx, dydx.LISTINGS, crowd("dydx", "{}-USD", quote="USD", interval_hours=1),
    (
        Fact("liquidations", "liquidations", truths.liquidations(IS_ADL)),
        Fact("funding", "funding_rates", truths.funding("interval_hours", "mark_price")),
        Fact("candles", "candles", truths.candles(*VOLUMES, "trades")),
        Fact("candles", "open_interest", truths.open_interest(60, units="base")),
    ),
    assets=("BTC", "ETH", "SOL"), long=("liquidations",),
    # A market that is named after the address of a token.
    rejected_logs=frozenset({("instruments", "unknown_instrument")}),
)  # fmt: skip

GATE: Final = Way(
    "gate", gate, gate.LISTINGS, crowd("gate", "{}_USDT", inverse="{}_USD", size=0.01, inverse_size=1.0),
    (
        Fact("contract_stats", "open_interest", truths.open_interest(5, units="known"), rel_tol=1e-9),
        Fact("contract_stats", "liquidation_totals", truths.liquidation_totals(5), rel_tol=1e-9),
        Fact("contract_stats", "long_short_ratios", truths.ratios(5, *ALL_FOUR)),
        Fact("liq_orders", "liquidations", truths.liquidations(seconds=True), whole=True, rel_tol=1e-9),
        Fact("funding_rate", "funding_rates", truths.funding()),
        Fact("candlesticks", "candles", truths.candles(*VOLUMES, volume="known")),
    ),
    long=("contract_stats", "liq_orders"),
)  # fmt: skip


def liquidated_days(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """The file has every second coin on every second day."""
    sums = (
        model.liquidations(listing, when.start, when.end)
        .group_by(pl.col("occurred_at").dt.truncate("1d").alias("event_at"))
        .agg((pl.col("price") * pl.col("quantity_base")).sum().round(6).alias("total_usd"))
    )
    place = list(hyperliquid.BY_NAME).index(listing.instrument)
    return sums.filter((place + pl.col("event_at").dt.day()) % 2 == 1)


HYPERLIQUID: Final = Way(
    "hyperliquid", hyperliquid, hyperliquid.LISTINGS,
    crowd("hyperliquid", "{}", scaled="k{}", quote="USDC", interval_hours=1),
    (
        Fact("funding", "funding_rates", truths.funding()),
        Fact("candles", "candles", truths.candles("volume_base", "trades"), days=207),
        Fact("liquidation_totals", "liquidation_totals", liquidated_days, lag=1, whole=True),
    ),
    captured=(
        Fact("contexts", "open_interest", truths.open_interest_now(60, units="base"), whole=True),
        Fact("contexts", "funding_rates", truths.next_funding, whole=True),
    ),
)  # fmt: skip

# Of a thousand accounts.
LONGS: Final = (kraken.longs() / 1000).alias("long_share")

KRAKEN: Final = Way(
    "kraken", kraken, kraken.LISTINGS,
    crowd("kraken", "PF_{}USD", inverse="PI_{}USD", quote="USD", size=1.0, inverse_size=1.0, interval_hours=1),
    (
        Fact("open_interest", "open_interest", truths.open_interest(5, units="own")),
        Fact("long_short_info", "long_short_ratios", truths.ratios(5, "account_global", value=LONGS)),
        Fact("funding", "funding_rates", truths.funding()),
        Fact("candles", "candles", truths.candles(*VOLUMES, volume="own")),
    ),
    # Kraken answers every question with all funding there is: a year of it for few, some weeks for the crowd.
    long=("open_interest", "long_short_info", "funding"),
    routes=lambda listings: kraken.routes(kraken.ResponseBehavior(funding_days=400 if len(listings) < CROWD else 20)),
)  # fmt: skip


def finest(truth: Callable[[int], Truth], kept: Mapping[int, timedelta], *, lag: int = 0) -> Truth:
    """Each day by the finest of the periods (in minutes) that OKX still holds whole, and by the finer ones as far as they reach.

    `kept` is how far back each goes; `lag` is 1 where stamps are the starts of their periods.
    """

    def rows(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
        found = []
        for number in range((when.end - when.start).days):
            start = when.start + timedelta(days=number)
            day = When(start, start + timedelta(days=1), when.now)
            for minutes, far in kept.items():
                step = timedelta(minutes=minutes)
                # The floor itself is a moment too old: the venue's clock has gone on since the hour.
                floor = when.now - far + lag * step
                frame = truth(minutes)(model, listing, day).filter(pl.col("event_at") > floor)
                period = f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"
                found.append(frame.select(pl.lit(period).alias("period"), pl.all()))
                if floor < start + step:
                    break
        return pl.concat(found)

    return rows


KEPT: Final = {minutes: timedelta(minutes=minutes * okx.KEPT_ENTRIES) for minutes in okx.BARS.values()}
KEPT_BY_COIN: Final = {okx.BARS[bar]: far for bar, far in okx.KEPT_BY_COIN.items()}


def whole_coins(listings: Listings) -> Listings:
    """Statistics of a coin over all its contracts."""
    return [okx.WHOLE_COINS[asset] for asset in dict.fromkeys(x.asset for x in listings)]


def positioning(model: AnalyticMarket, listing: Listing, when: When) -> pl.DataFrame:
    """Two statistics of one feed, the second stamped with the starts of its periods."""
    accounts = finest(lambda minutes: truths.ratios(minutes, "account_global"), KEPT_BY_COIN)
    takers = finest(lambda minutes: truths.ratios(minutes, "taker_volume"), KEPT_BY_COIN, lag=1)
    return pl.concat([accounts(model, listing, when), takers(model, listing, when)])


OKX: Final = Way(
    "okx", okx, okx.LISTINGS,
    crowd("okx", "{}-USDT-SWAP", inverse="{}-USD-SWAP", size=0.01, inverse_size=10.0),
    (
        Fact("open_interest", "open_interest", finest(truths.open_interest, KEPT), days=239),
        Fact("top_traders", "long_short_ratios", days=239, truth=finest(
            lambda minutes: truths.ratios(minutes, "account_top", "position_top"), KEPT)),
        Fact("positioning", "long_short_ratios", positioning, days=29, about=whole_coins),
        Fact("funding", "funding_rates", truths.funding(), days=89),
        Fact("funding_archive", "funding_rates", truths.funding(), lag=36, months=True),
        Fact("candles", "candles", truths.candles(*VOLUMES)),
    ),
    captured=(
        Fact("liquidations", "liquidations", truths.liquidations_kept(1)),
        Fact("option_chain", "option_chain", truths.option_chain(), key="underlying", about=chains("BTC", "ETH")),
    ),
    long=("open_interest", "top_traders"),
    instead=lambda listings: {
        "WHOLE_COINS": {x.asset: Listing("okx", f"{x.asset}-CONTRACTS", x.asset) for x in listings}
    },
)  # fmt: skip

ORDERLY: Final = Way(
    "orderly", orderly, orderly.LISTINGS,
    crowd("orderly", "PERP_{}_USDC", scaled="PERP_1000{}_USDC", quote="USDC"),
    (Fact("liquidations", "liquidations", truths.liquidations(columns=("quantity_base",)), whole=True),),
)  # fmt: skip

WAYS: Final = (
    BINANCE, BINANCE_ARCHIVE, BITFINEX, BYBIT, COINALYZE, DERIBIT, DYDX, GATE, HYPERLIQUID, KRAKEN, OKX, ORDERLY,
)  # fmt: skip
