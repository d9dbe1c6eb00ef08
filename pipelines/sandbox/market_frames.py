"""The clean rows of a simulated market, generated directly instead of over HTTP through emulators and venue modules.

A test compares both paths. This one is for evaluating many markets, which would take hours over HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

import polars as pl

from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_model import Listing, Market
from pipelines.sandbox.market_onchain import RESERVES, logs
from pipelines.sandbox.venues import binance_archive, bybit, deribit, okx
from pipelines.sandbox.venues.evm import BLOCK_SECONDS, GENESIS

ARCHIVE_LAG: Final = timedelta(days=1)
"""Time from a day's end to the publication of its archive file."""
LENDING_FINALITY: Final = timedelta(minutes=15)
CAPTURED_AT: Final = time(8, 30)
OPTIONS_ON: Final = "BTC"
"""The asset whose option chains are included: the one with a planted capitulation."""
EPOCH: Final = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Rows:
    """Rows of one clean table from one source, in its wire columns."""

    source: str
    table: str
    frame: pl.DataFrame


@dataclass(frozen=True)
class Scope:
    """Which rows of a market are generated: states every `minutes`, liquidations and option chains of the last `captured_days`
    days, OKX funding of the last `okx_days` days. `tag` is appended to the names of assets and instruments, so that several
    markets fit into one warehouse."""

    minutes: int = 60
    captured_days: int = 100
    okx_days: int = 61
    tag: str = ""

    @property
    def period(self) -> str:
        return "1h" if self.minutes == 60 else f"{self.minutes}m"


def rows(market: SimulatedMarket, scope: Scope) -> Iterator[Rows]:
    """All rows of a market, source by source. Raises ValueError for a period that is not 5, 15, 30 or 60 minutes."""
    if scope.minutes not in (5, 15, 30, 60):
        raise ValueError(f"states every {scope.minutes} minutes: unsupported period; use 5, 15, 30 or 60.")
    start, end = datetime.combine(market.first, time()), datetime.combine(market.last, time()) + timedelta(days=1)
    for venue_rows in (_bybit, _binance, _okx, _deribit, _lending):
        for part in venue_rows(market, scope, start, end):
            yield _tagged(part, scope.tag)


def _bybit(market: SimulatedMarket, scope: Scope, start: datetime, end: datetime) -> Iterator[Rows]:
    listings = _of(market, bybit.LISTINGS)
    perpetuals = [x for x in listings if x.contract_type != "spot"]
    yield _instruments("bybit.instruments", listings)
    states = [_open_interest(market, x, scope, start, end, inverse_in_usd=True) for x in perpetuals]
    yield _concat("bybit.open_interest", "open_interest", states, pl.col("event_at"))
    funding = [_funding(market, x, start, end).with_columns(interval_hours=None) for x in perpetuals]
    yield _concat("bybit.funding", "funding_rates", funding, pl.col("settled_at"))
    hour = timedelta(hours=1)
    share = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4)
    ratios = [
        market.ratios(x, "account_global", 60, start + hour, end + hour).select(
            *_key(x), pl.lit("account_global").alias("measure"), pl.lit("1h").alias("period"), "event_at",
            (share / (1 - share)).alias("ratio"), share.alias("long_share"),
        )
        for x in perpetuals
    ]  # fmt: skip
    yield _concat("bybit.long_short_ratios", "long_short_ratios", ratios, pl.col("event_at") + hour)
    candles = [
        _candles(market, x, "spot" if x.contract_type == "spot" else "perp", start, end).drop(
            "taker_buy_base", "trades"
        )
        for x in listings
    ]
    yield _concat("bybit.candles", "candles", candles, pl.col("opened_at") + hour)


def _binance(market: SimulatedMarket, scope: Scope, start: datetime, end: datetime) -> Iterator[Rows]:
    listings = [x for x in _of(market, binance_archive.LISTINGS) if x.delisted_at is None]
    perpetuals = [x for x in listings if x.contract_type != "spot"]
    linear = [x for x in perpetuals if x.contract_type == "linear"]
    yield _instruments("binance_archive.instruments", listings)
    step = timedelta(minutes=scope.minutes)
    # A state at midnight belongs to the day it ends.
    published = (pl.col("event_at") - timedelta(microseconds=1)).dt.truncate("1d") + timedelta(days=1) + ARCHIVE_LAG
    states = [_open_interest(market, x, scope, start, end, inverse_in_usd=False) for x in linear]
    yield _concat("binance_archive.um_metrics", "open_interest", states, published)
    ratios = [
        market.ratios(x, measure, scope.minutes, start + step, end + step).select(
            *_key(x), pl.lit(measure).alias("measure"), pl.lit(scope.period).alias("period"), "event_at", "ratio",
            (pl.col("ratio") / (1 + pl.col("ratio"))).alias("long_share"),
        )
        for x in linear
        for measure in binance_archive.MEASURES
    ]  # fmt: skip
    yield _concat("binance_archive.um_metrics", "long_short_ratios", ratios, published)
    funding = [_funding(market, x, start, end) for x in perpetuals]
    yield _concat("binance_archive.funding", "funding_rates", funding, pl.col("settled_at"))
    day_after = pl.col("opened_at").dt.truncate("1d") + timedelta(days=1) + ARCHIVE_LAG
    perp = [_candles(market, x, "perp", start, end) for x in linear]
    yield _concat("binance_archive.um_candles", "candles", perp, day_after)
    spot = [_candles(market, x, "spot", start, end) for x in listings if x.contract_type == "spot"]
    yield _concat("binance_archive.spot_candles", "candles", spot, day_after)


def _okx(market: SimulatedMarket, scope: Scope, start: datetime, end: datetime) -> Iterator[Rows]:
    listings = _of(market, okx.LISTINGS)
    yield _instruments("okx.instruments", listings)
    since = max(start, end - timedelta(days=scope.okx_days))
    funding = [_funding(market, x, since, end).with_columns(interval_hours=None) for x in listings]
    yield _concat("okx.funding", "funding_rates", funding, pl.col("settled_at"))


def _deribit(market: SimulatedMarket, scope: Scope, start: datetime, end: datetime) -> Iterator[Rows]:
    listings = _of(market, deribit.LISTINGS)
    yield _instruments("deribit.instruments", listings)
    funding = [_funding(market, x, start, end) for x in listings]
    yield _concat("deribit.funding", "funding_rates", funding, pl.col("settled_at"))
    since = max(start, end - timedelta(days=scope.captured_days))
    events = [_liquidations(market, x, since, end) for x in listings]
    yield _concat("deribit.liquidations", "liquidations", events, pl.col("occurred_at"))
    if OPTIONS_ON in market.assets:
        days = range((end - since).days)
        chains = [_chain(market, since + timedelta(days=day)) for day in days]
        yield _concat("deribit.option_chain", "option_chain", chains, pl.col("snapshot_at"))


def _lending(market: SimulatedMarket, scope: Scope, start: datetime, end: datetime) -> Iterator[Rows]:
    for asset in (asset for asset in market.assets if asset in RESERVES):
        loans = market.loans(asset).filter(pl.col("occurred_at") >= start, pl.col("occurred_at") < end)
        chain_logs = logs(asset, loans)
        frame = loans.select(
            pl.lit("ethereum").alias("chain"),
            pl.Series("event_id", [f"{log.transaction}:{log.index}" for log in chain_logs], pl.String),
            pl.lit("aave_v3").alias("protocol"),
            pl.Series("market", [log.address for log in chain_logs], pl.String),
            ((pl.col("occurred_at") - pl.lit(GENESIS)).dt.total_seconds() // BLOCK_SECONDS).alias("block_number"),
            "occurred_at",
            pl.lit(RESERVES[asset].token).alias("collateral_token"),
            pl.Series("collateral_amount_raw", [str(int(log.data[66:130], 16)) for log in chain_logs], pl.String),
            pl.Series("debt_token", ["0x" + log.topics[2][26:] for log in chain_logs], pl.String),
            pl.Series("debt_amount_raw", [str(int(log.data[2:66], 16)) for log in chain_logs], pl.String),
            pl.lit("full").alias("completeness"),
        )
        if scope.tag:
            # A tagged asset's token is not in the registry, so the event itself carries dollar amounts.
            frame = frame.with_columns(
                pl.lit(asset).alias("collateral_token"),
                loans["collateral_base"].alias("collateral_amount"),
                (loans["collateral_base"] * loans["price"]).alias("collateral_usd"),
                loans["debt_usd"].alias("debt_usd"),
                pl.lit("event").alias("price_source"),
            )
        yield _concat("evm_ethereum.aave", "lending_liquidations", [frame], pl.col("occurred_at") + LENDING_FINALITY)


def _of(market: SimulatedMarket, listings: Sequence[Listing]) -> list[Listing]:
    return [x for x in listings if x.asset in market.assets]


def _instruments(source: str, listings: Sequence[Listing]) -> Rows:
    frame = pl.DataFrame(
        [
            (x.venue, x.instrument, EPOCH, x.asset, x.quote, x.contract_type, x.contract_size, x.contract_size_unit, x.multiplier)
            for x in listings
        ],
        schema={
            "venue": pl.String, "instrument": pl.String, "valid_from": pl.Datetime("us"), "asset": pl.String, "quote": pl.String,
            "contract_type": pl.String, "contract_size": pl.Float64, "contract_size_unit": pl.String, "multiplier": pl.Float64,
        },
        orient="row",
    )  # fmt: skip
    return Rows(source, "instruments", frame.with_columns(available_at="valid_from"))


def _key(listing: Listing) -> tuple[pl.Expr, pl.Expr]:
    return pl.lit(listing.venue).alias("venue"), pl.lit(listing.instrument).alias("instrument")


def _open_interest(
    market: SimulatedMarket, listing: Listing, scope: Scope, start: datetime, end: datetime, *, inverse_in_usd: bool
) -> pl.DataFrame:
    """States in (start, end]. Bybit publishes one unit (dollars for inverse contracts, else coin), Binance both."""
    step = timedelta(minutes=scope.minutes)
    frame = market.open_interest(listing, scope.minutes, start + step, end + step)
    in_usd = inverse_in_usd and listing.contract_type == "inverse"
    base = pl.lit(None, pl.Float64) if in_usd else pl.col("oi_base")
    usd = pl.lit(None, pl.Float64) if inverse_in_usd and not in_usd else pl.col("oi_usd")
    return frame.select(
        *_key(listing),
        pl.lit(scope.period).alias("period"),
        "event_at",
        base.alias("oi_base"),
        usd.alias("oi_usd"),
        pl.coalesce(base, usd).alias("oi_raw"),
        pl.lit("usd" if in_usd else "base").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
    )


def _funding(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    frame = market.funding(listing, start, end)
    return frame.select(*_key(listing), pl.lit("settled").alias("kind"), "settled_at", "rate", "interval_hours")


def _candles(market: SimulatedMarket, listing: Listing, kind: Market, start: datetime, end: datetime) -> pl.DataFrame:
    frame = market.candles(listing, kind, 60, start, end)
    return frame.select(*_key(listing), pl.lit(kind).alias("market"), pl.lit("1h").alias("period"), pl.all())


def _liquidations(market: SimulatedMarket, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    return market.liquidations(listing, start, end).select(
        *_key(listing),
        pl.format("{}:{}", pl.lit(listing.instrument), "number").alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "occurred_at",
        "side",
        "price",
        "quantity_base",
        (pl.col("price") * pl.col("quantity_base")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
    )


def _chain(market: SimulatedMarket, day: datetime) -> pl.DataFrame:
    at = datetime.combine(day.date(), CAPTURED_AT)
    name = pl.format("BTC-{}-{}-{}", pl.col("expiry_date"), "strike", "option_type")
    return market.option_chain(OPTIONS_ON, at).select(
        pl.lit("deribit").alias("venue"),
        name.alias("instrument"),
        pl.lit(at).cast(pl.Datetime("us")).alias("snapshot_at"),
        pl.lit(OPTIONS_ON).alias("underlying"),
        pl.all().exclude("delta"),
    )


def _concat(source: str, table: str, frames: Sequence[pl.DataFrame], available_at: pl.Expr) -> Rows:
    return Rows(source, table, pl.concat(frames).with_columns(available_at.alias("available_at")))


def _tagged(part: Rows, tag: str) -> Rows:
    """`part` with `tag` appended to all names of the market."""
    if not tag:
        return part
    columns = ("asset", "instrument", "underlying", "liquidation_id", "event_id", "collateral_token")
    names = [name for name in columns if name in part.frame.columns]
    return Rows(part.source, part.table, part.frame.with_columns(pl.col(name) + tag for name in names))
