"""A simulated market with known ground truth: SimulatedMarket implements MarketModel with paths that are determined by a seed.

Venues share one price and one set of positions; each has a share of the positions, its own premium and its own funding rule.
Paths are simulated in market_paths.py, planted episodes are defined in market_episodes.py, option chains in market_options.py.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from pipelines.sandbox.market_episodes import UNIT_FACTOR, UNRESTATED_FACTOR, Episode, Kind, plant
from pipelines.sandbox.market_model import Listing, Market, Measure
from pipelines.sandbox.market_options import option_chain
from pipelines.sandbox.market_paths import CHARACTERS, DAY, HEDGER_ACCOUNT_USD, STEP, TIERS, Path, Paths, simulate

if TYPE_CHECKING:
    from pipelines.sandbox.venues.evm import ChainMarket

BURN_IN_DAYS: Final = 30
"""Days before the first one, in which positions build up."""
AFTER_DAYS: Final = 10
"""Days after the last one, when late publications are fetched."""

SHARES: Final = {"binance": 0.45, "bybit": 0.30, "okx": 0.17, "deribit": 0.08}
"""The venues' shares of positions and volume; other venues have OTHER_SHARE."""
OTHER_SHARE: Final = 0.02
INVERSE_SHARE: Final = 0.15
"""Share of coin-margined contracts in the positions of a venue with both kinds."""

INTEREST_8H: Final = 0.0001
CLAMP: Final = 0.0005
CAP_8H: Final = 0.0075
"""Funding per 8 h is the mean premium plus (interest − premium) clamped to ±0.05%, capped at ±0.75%: the rule published by
Binance, Bybit and OKX. Deribit charges only the premium in excess of ±0.025%, without interest."""
DERIBIT_DEAD_BAND: Final = 0.00025
TOP_TIER: Final = 0
"""The least leveraged tier, whose accounts count as top traders, like hedgers."""

STREAM_BLOCKS: Final = 250_000
"""Blocks per log stream of the simulated chain: about a month, so that a demo needs a dozen requests."""


class SimulatedMarket:
    """Several assets on several venues from `first` through `last`, with the planted episodes.

    Repeated calls and any slicing of the time range give the same data; before the burn-in and more than AFTER_DAYS after `last`
    there is none. Frames are those of MarketModel. Raises KeyError for an unknown asset, ValueError for candles finer than 5
    minutes.
    """

    def __init__(
        self, first: date, last: date, *, seed: int, assets: Sequence[str] = tuple(CHARACTERS), planted: bool = True
    ) -> None:
        self.first, self.last, self.seed, self.assets = first, last, seed, tuple(assets)
        self.episodes: tuple[Episode, ...] = plant(first, last, assets) if planted else ()
        self.start = datetime.combine(first, time()) - timedelta(days=BURN_IN_DAYS)
        self._days = (last - first).days + 1 + BURN_IN_DAYS + AFTER_DAYS
        self._paths: dict[str, Paths] = {}
        self._frames: dict[tuple[object, ...], pl.DataFrame] = {}
        self._chains: dict[tuple[str, datetime], pl.DataFrame] = {}
        self._oi_factor = 1.0

    def before_restatement(self) -> SimulatedMarket:
        """The same market as published before open interest was restated."""
        unrestated = copy.copy(self)
        vars(unrestated).update(_frames={}, _oi_factor=UNRESTATED_FACTOR)
        return unrestated

    def paths(self, asset: str) -> Paths:
        """The simulated paths of `asset`. Value i is at the instant start + (i + 1) · 5 minutes."""
        if asset not in self.assets:
            raise KeyError(asset)
        if asset not in self._paths:
            self._paths[asset] = simulate(asset, self.start, self._days, seed=self.seed, episodes=self.episodes)
        return self._paths[asset]

    def share(self, listing: Listing) -> float:
        """The share of an asset's positions and volume in one listing."""
        venue_share = SHARES.get(listing.venue, OTHER_SHARE)
        return venue_share * (INVERSE_SHARE if listing.contract_type == "inverse" else 1 - INVERSE_SHARE)

    def perp_price(self, listing: Listing) -> Path:
        """The price of the perpetual: the index plus the listing's premium."""
        path: Path = self.paths(listing.asset).price * (1 + self.premium(listing))
        return path

    def premium(self, listing: Listing) -> Path:
        """Perpetual over index, minus one. The venue-specific part is small, slow and deterministic."""
        paths = self.paths(listing.asset)
        phase = zlib.crc32(f"{listing.venue} {listing.instrument}".encode()) % 1000
        turns = np.arange(len(paths.price)) / (DAY * 5) + phase
        premium: Path = paths.premium + 0.00002 * np.sin(2 * math.pi * turns)
        return premium

    def candles(self, listing: Listing, market: Market, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        step = STEP // timedelta(minutes=1)
        if minutes % step:
            raise ValueError(f"candles of {minutes} minutes: the simulation has {step}-minute steps.")
        key = (listing.venue, listing.instrument, market, minutes)
        if key not in self._frames:
            self._frames[key] = self._candles(listing, market, minutes // step)
        return _between(self._frames[key], "opened_at", start, end)

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        key = (listing.venue, listing.instrument, "oi")
        if key not in self._frames:
            base = (self.paths(listing.asset).oi * self.share(listing) * self._oi_factor).round(6)
            for episode in self._of("unit_error", listing):
                inside = slice((episode.start - self.start) // STEP, (episode.end - self.start) // STEP)
                base[inside] *= UNIT_FACTOR
            frame = self._instants.with_columns(
                pl.Series("oi_base", base), pl.Series("oi_usd", (base * self.perp_price(listing)).round(4))
            ).rename({"at": "event_at"})
            for outage in self._of("outage", listing):
                # A state belongs to the day it ends, so the next midnight is part of the outage.
                is_missing = (pl.col("event_at") > outage.start) & (pl.col("event_at") <= outage.end)
                frame = frame.filter(~is_missing)
            self._frames[key] = frame
        return self._at(self._frames[key], minutes, start, end)

    def funding(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        key = (listing.venue, listing.instrument, "funding")
        if key not in self._frames:
            length = listing.interval_hours * 12
            premium = self.premium(listing).reshape(-1, length).mean(axis=1)
            eighths = listing.interval_hours / 8
            rate = (dead_banded if listing.venue == "deribit" else clamped)(premium) * eighths
            self._frames[key] = self._instants[length - 1 :: length].select(
                pl.col("at").alias("settled_at"),
                pl.Series("rate", rate.round(8)),
                pl.lit(float(listing.interval_hours)).alias("interval_hours"),
                pl.Series("mark_price", self.perp_price(listing)[length - 1 :: length]),
            )
        return _between(self._frames[key], "settled_at", start, end)

    def ratios(self, listing: Listing, measure: Measure, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        key = (listing.asset, measure)
        if key not in self._frames:
            ratio = self._ratio(self.paths(listing.asset), measure)
            self._frames[key] = self._instants.select(
                pl.col("at").alias("event_at"), pl.Series("ratio", ratio.round(6))
            )
        return self._at(self._frames[key], minutes, start, end)

    def liquidations(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        key = (listing.venue, listing.instrument, "liquidations")
        if key not in self._frames:
            forced = self.paths(listing.asset).forced
            number = np.arange(len(forced.step))
            # A deterministic offset within the step.
            within = (number * 7919 + 13) % (STEP // timedelta(milliseconds=1))
            since = forced.step * (STEP // timedelta(milliseconds=1)) + within
            self._frames[key] = pl.DataFrame(
                {
                    "since": since,
                    "number": number,
                    "is_long": forced.is_long,
                    "price": forced.price,
                    "quantity_base": (forced.quantity * self.share(listing)).round(6),
                }
            ).select(
                (pl.lit(self.start) + pl.duration(milliseconds="since")).alias("occurred_at"),
                "number",
                pl.when("is_long").then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
                _tick("price", forced.price),
                "quantity_base",
            ).filter(pl.col("quantity_base") > 0).sort("occurred_at", "number")  # fmt: skip
        return _between(self._frames[key], "occurred_at", start, end)

    def option_chain(self, underlying: str, at: datetime) -> pl.DataFrame:
        # Cached, since venues use one chain for their lists, prices and book summaries at the same instant.
        if (underlying, at) not in self._chains:
            self._chains = {key: chain for key, chain in self._chains.items() if key[1] == at}
            self._chains[underlying, at] = self._option_chain(underlying, at)
        return self._chains[underlying, at]

    def _option_chain(self, underlying: str, at: datetime) -> pl.DataFrame:
        paths = self.paths(underlying)
        now = self._step(at)
        return option_chain(
            at,
            price=float(paths.price[now]),
            price_at=lambda then: float(paths.price[self._step(then)]),
            oi_base=float(paths.oi[now]),
            volatility=float(paths.volatility[now]),
            put_tilt=float(paths.put_tilt[now]),
        )

    def volatility_index(self, asset: str, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        key = (asset, "volatility", minutes)
        if key not in self._frames:
            values = self.paths(asset).volatility.round(4)
            each = max(1, minutes // (STEP // timedelta(minutes=1)))
            self._frames[key] = self._bars(each).with_columns(
                pl.Series(name, path) for name, path in _extremes(values, values, values, each).items()
            )
        return _between(self._frames[key], "opened_at", start, end)

    def loans(self, asset: str) -> pl.DataFrame:
        """Liquidations of loans on `asset` (market_onchain.liquidated). Raises KeyError for an asset that is not collateral."""
        from pipelines.sandbox.market_onchain import liquidated

        return liquidated(asset, self.paths(asset).price, self.start, seed=self.seed, episodes=self.episodes)

    @cached_property
    def chain(self) -> ChainMarket:
        """The chain with the liquidations of loans against the market's assets."""
        from pipelines.sandbox.market_onchain import RESERVES, absorptions, logs
        from pipelines.sandbox.venues.evm import ChainMarket

        loans = {asset: self.loans(asset) for asset in self.assets if asset in RESERVES}
        chain_logs = [
            log
            for asset, liquidated in loans.items()
            for log in (*logs(asset, liquidated), *absorptions(asset, liquidated))
        ]
        return ChainMarket(logs=chain_logs, stream_blocks=STREAM_BLOCKS)

    def _of(self, kind: Kind, listing: Listing) -> list[Episode]:
        """Planted episodes of `kind` at the listing's venue that affect the listing."""
        return [
            e for e in self.episodes if e.kind == kind and e.venue == listing.venue and e.asset in ("*", listing.asset)
        ]

    @cached_property
    def _instants(self) -> pl.DataFrame:
        steps = np.arange(1, self._days * DAY + 1) * (STEP // timedelta(microseconds=1))
        return pl.DataFrame({"us": steps}).select(
            (pl.lit(self.start) + pl.duration(microseconds="us")).cast(pl.Datetime("us")).alias("at")
        )

    def _bars(self, each: int) -> pl.DataFrame:
        """Start times of bars of `each` steps. The burn-in starts at midnight, so every bar length that divides a day gives whole
        bars."""
        return self._instants[::each].select((pl.col("at") - STEP).alias("opened_at"))

    def _step(self, at: datetime) -> int:
        """The last step that ended by `at`; the first step if `at` is earlier."""
        return min(max((at - self.start) // STEP - 1, 0), self._days * DAY - 1)

    def _at(self, frame: pl.DataFrame, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """Rows of a path at multiples of `minutes`; for a grid finer than STEP, the last state at each."""
        step = STEP // timedelta(minutes=1)
        if minutes >= step:
            found = _between(frame, "event_at", start, end)
            return found.filter(pl.col("event_at").dt.epoch("s") % (minutes * 60) == 0) if minutes > step else found
        # A state is repeated until the next grid instant only, so that an outage does not repeat an old state.
        later = pl.DataFrame({"minutes": range(0, step, minutes)})
        held = _between(frame, "event_at", start - STEP, end).join(later, how="cross", maintain_order="left_right")
        fine = held.with_columns(pl.col("event_at") + pl.duration(minutes="minutes")).drop("minutes")
        return _between(fine, "event_at", start, end)

    def _candles(self, listing: Listing, market: Market, each: int) -> pl.DataFrame:
        paths = self.paths(listing.asset)
        lift = 1 + self.premium(listing) if market in ("perp", "mark") else np.ones_like(paths.price)
        # Spot volume is a third of the perpetual volume.
        part = self.share(listing) * (0.33 if market == "spot" else 1.0)
        volume = (paths.volume * part).reshape(-1, each)
        price = (paths.price * lift).reshape(-1, each)
        bought = (paths.volume * part * (0.5 + paths.taker_tilt / 2)).reshape(-1, each)
        values = _extremes(paths.price * lift, paths.high * lift, paths.low * lift, each)
        return self._bars(each).with_columns(
            *(_tick(pl.lit(pl.Series(name, path)), path, name) for name, path in values.items()),
            pl.Series("volume_base", volume.sum(axis=1).round(6)),
            pl.Series("volume_quote", (volume * price).sum(axis=1).round(4)),
            pl.Series("taker_buy_base", bought.sum(axis=1).round(6)),
            pl.Series("trades", 1 + (volume * price).sum(axis=1).astype(np.int64) // 5_000),
        )

    @staticmethod
    def _ratio(paths: Paths, measure: Measure) -> Path:
        """Longs over shorts: of accounts (positions divided by a typical account size), of positions, or of taker volume."""
        sizes = np.array([tier.account_usd for tier in TIERS])[:, None]
        if measure == "taker_volume":
            taken: Path = (1 + paths.taker_tilt) / (1 - paths.taker_tilt)
            return taken
        if measure == "position_top":
            top: Path = (paths.longs[TOP_TIER] + paths.long_hedgers) / (paths.shorts[TOP_TIER] + paths.short_hedgers)
            return top
        whose = slice(TOP_TIER, TOP_TIER + 1) if measure == "account_top" else slice(None)
        longs = (paths.longs / sizes)[whose].sum(axis=0) + paths.long_hedgers / HEDGER_ACCOUNT_USD
        shorts = (paths.shorts / sizes)[whose].sum(axis=0) + paths.short_hedgers / HEDGER_ACCOUNT_USD
        accounts: Path = longs / shorts
        return accounts


def clamped(premium: Path) -> Path:
    """Funding per 8 h by the interest rule, see CAP_8H."""
    rate: Path = np.clip(premium + np.clip(INTEREST_8H - premium, -CLAMP, CLAMP), -CAP_8H, CAP_8H)
    return rate


def dead_banded(premium: Path) -> Path:
    """Funding per 8 h by Deribit's rule: the premium in excess of the dead band."""
    rate: Path = np.sign(premium) * np.clip(np.abs(premium) - DERIBIT_DEAD_BAND, 0.0, CAP_8H)
    return rate


def _extremes(close: Path, high: Path, low: Path, each: int) -> dict[str, Path]:
    """Open, high, low, close of bars of `each` steps; a bar opens at the previous close."""
    closes = close.reshape(-1, each)[:, -1]
    opens = np.concatenate([[close[0]], closes[:-1]])
    return {
        "open": opens,
        "high": np.maximum(high.reshape(-1, each).max(axis=1), opens),
        "low": np.minimum(low.reshape(-1, each).min(axis=1), opens),
        "close": closes,
    }


def _tick(column: pl.Expr | str, level: Path, name: str = "price") -> pl.Expr:
    """Rounded to seven significant digits at the path's level."""
    decimals = max(0, 6 - math.floor(math.log10(float(level.mean())))) if len(level) else 6
    return (pl.col(column) if isinstance(column, str) else column).round(decimals).alias(name)


def _between(frame: pl.DataFrame, stamp: str, start: datetime, end: datetime) -> pl.DataFrame:
    """Rows of a sorted frame in [start, end)."""
    # numpy's search costs a tenth of polars', and every request makes one.
    bounds = np.array([start, end], dtype="datetime64[us]")
    first, stop = (int(index) for index in np.searchsorted(frame[stamp].to_numpy(), bounds))
    return frame.slice(first, max(0, stop - first))
