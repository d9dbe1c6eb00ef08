"""Coinalyze v1: a vendor's permanent daily history of exchange data. Needs a free API key in COINALYZE_API_KEY; without it the
venue is skipped.

Rows have the exchange as venue and its own symbol as instrument, like the exchange's own rows, which
seeds/source_precedence.csv prefers. Facts from the vendor's documentation, from public collectors and from recorded files of the
vendor (tests/recorded/mappings/binance_daily_2022_2023.toml); anything not verified live is marked "?".
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import SourceRules
from pipelines.core.errors import LeverhouseError, RequestRefusedError
from pipelines.core.universe import parse_symbol
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Fetch,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Secret,
    Span,
    Venue,
)
from pipelines.sources import counting
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    at_path,
    flattened,
    from_seconds,
    kept,
    look_up,
    read_records,
    rejected,
)

NAME: Final = "coinalyze"

EXCHANGES: Final[Mapping[str, str]] = {
    "binance": "binance",
    "bybit": "bybit",
    "okx": "okx",
    "deribit": "deribit",
    "gateio": "gate",
    "kraken": "kraken",
    "bitfinex": "bitfinex",
    "bitmex": "bitmex",
    "hyperliquid": "hyperliquid",
    "dydx": "dydx",
}
"""Venue ids by the vendor's exchange name, reduced to lower-case letters and digits. Other exchanges are not in seeds/venues.csv
and are skipped. The exchange code at the end of symbols (BTCUSDT_PERP.A) is looked up in the vendor's list."""

EIGHT_HOURS: Final = ("binance", "bybit", "okx", "gate", "bitfinex", "bitmex")
SETTLED_AT_16: Final = ("BTC", "ETH")
"""Assets whose daily funding is the 16:00 settlement: equal to Binance's own rate on all 703 recorded days, and assumed so for
similar exchanges (?). Other assets may settle every four hours; the vendor does not state the interval, and a rate of the wrong
interval would go unnoticed."""

EXCHANGE: Final = (Field("name", "exchange_name", str), Field("code", "exchange", str))
MARKETS: Final = (
    Field("symbol", "symbol", str),
    Field("exchange", "exchange", str),
    Field("symbol_on_exchange", "instrument", str),
    Field("quote_asset", "quote_asset", str),
    Field("is_perpetual", "is_perpetual", bool),
    Field("oi_lq_vol_denominated_in", "denominated_in", str, optional=True),
)
OPEN_INTEREST: Final = (Field("t", "at_s", int), Field("c", "amount", float))
FUNDING: Final = (Field("t", "at_s", int), Field("c", "percent", float))
LIQUIDATIONS: Final = (Field("t", "at_s", int), Field("l", "long", float), Field("s", "short", float))
RATIOS: Final = (Field("t", "at_s", int), Field("r", "ratio", float))
CANDLES: Final = (
    Field("t", "at_s", int),
    Field("o", "open", float),
    Field("h", "high", float),
    Field("l", "low", float),
    Field("c", "close", float),
    Field("v", "volume", float),
    Field("bv", "taker_buy", float, optional=True),
    Field("tx", "trades", int, optional=True),
)

DAY: Final = timedelta(days=1)
DELAY: Final = timedelta(hours=1)
"""Assumed delay between the end of a day and the availability of its row; undocumented, and conservative."""

records: Final[RecordsOf] = at_path()


def check(page: Page) -> None:
    """Raise for anything but an array. Errors are objects with a message and an error status (401 without a valid key)."""
    if not isinstance(page.json(), list):
        raise RequestRefusedError(
            f"{NAME}: {page.where}: {page.excerpt}. Compare the request with Coinalyze's documentation."
        )


def subject(venue: str, instrument: str) -> str:
    """The landing's subject of an instrument. Symbols of different venues coincide, and no venue id contains a colon."""
    return f"{venue}:{instrument}"


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """The list of exchanges and all their futures."""
    yield await api.get("/exchanges")
    yield await api.get("/future-markets")


def markets(pages: Sequence[Page]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Perpetuals on supported exchanges (with column `venue`), and rejects."""
    known = look_up(of_endpoint(pages, "/exchanges"), records, EXCHANGE)
    found = read_records(of_endpoint(pages, "/future-markets"), records, MARKETS)
    plain = pl.col("exchange_name").str.to_lowercase().str.replace_all("[^a-z0-9]", "")
    codes = known.frame.select(
        "exchange", plain.replace_strict(EXCHANGES, default=None, return_dtype=pl.String).alias("venue")
    )
    frame = kept(found.frame, pl.col("is_perpetual"), "other_kind").join(
        codes, on="exchange", how="left", maintain_order="left"
    )
    return kept(frame, pl.col("venue").is_not_null(), "not_followed"), pl.concat([known.rejects, found.rejects])


def of_endpoint(pages: Sequence[Page], path: str) -> list[Page]:
    return [page for page in pages if page.request.get("path") == path]


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as rows of clean.instruments, under the exchange's symbols.

    The vendor converts contracts into the unit in contract_size_unit, which varies even within one exchange (BASE_ASSET;
    QUOTE_ASSET for most inverse contracts); contract_size is 1 unit for inverse contracts. The exchange's own row, with the true
    size, takes precedence if there is one.
    """
    frame, rejects = markets(pages)
    names = frame.select("venue", "instrument").unique(maintain_order=True).rows()
    facts = [(venue, name, parse_symbol(venue, name)) for venue, name in names]
    known = pl.DataFrame(
        [
            {"venue": venue, "instrument": name, "asset": f.asset, "multiplier": f.multiplier, "quote": f.quote,
             "type": f.contract_type}
            for venue, name, f in facts
            if f is not None and f.contract_type in ("linear", "inverse")
        ],
        schema=dict.fromkeys(("venue", "instrument", "asset", "quote", "type"), pl.String) | {"multiplier": pl.Float64},
    )  # fmt: skip
    in_dollars = pl.col("quote_asset").is_in(["USD", "USDT", "USDC"])
    unit = (
        pl.when(pl.col("denominated_in") == "BASE_ASSET")
        .then(pl.lit("base"))
        .when((pl.col("denominated_in") == "QUOTE_ASSET") & in_dollars)
        .then(pl.lit("usd"))
    )
    joined = frame.join(known, on=["venue", "instrument"], how="left", maintain_order="left").with_columns(
        unit.alias("unit")
    )
    followed = pl.col("asset").is_not_null() & pl.col("unit").is_not_null()
    rows = joined.filter(followed).select(
        "venue",
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        pl.col("type").alias("contract_type"),
        pl.when(pl.col("type") == "inverse").then(1.0).alias("contract_size"),
        pl.col("unit").alias("contract_size_unit"),
        "multiplier",
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unsupported = rejected(
        joined.filter(~followed),
        reason="unknown_instrument",
        detail="the name follows no rule of its venue, or amounts are in no unit that is known",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([rejects, unsupported]))


Symbols = Mapping[str, str]
"""The vendor's symbols by subject."""

_SYMBOL_REQUESTS: Final[weakref.WeakKeyDictionary[Api, asyncio.Task[Symbols]]] = weakref.WeakKeyDictionary()


async def symbol(api: Api, job: Job) -> str:
    """The vendor's symbol of the job's instrument. Symbol formats differ by exchange (BTCUSDT_PERP.A, BTCUSDT.6, BTC_USDT.Y), so
    symbols are looked up, not built; the list is fetched once per client, since every call counts.

    Raises RequestRefusedError if the vendor no longer lists the instrument.
    """
    if api not in _SYMBOL_REQUESTS:
        _SYMBOL_REQUESTS[api] = asyncio.create_task(_fetch_symbols(api, job))
    try:
        found = (await _SYMBOL_REQUESTS[api]).get(job.subject)
    except LeverhouseError:
        # The next job retries.
        _SYMBOL_REQUESTS.pop(api, None)
        raise
    if found is None:
        raise RequestRefusedError(f"{NAME}: the vendor no longer lists {job.subject}.")
    return found


async def _fetch_symbols(api: Api, job: Job) -> Symbols:
    frame, _ = markets([page async for page in fetch_instruments(api, job)])
    return {subject(venue, name): found for venue, name, found in frame.select("venue", "instrument", "symbol").rows()}


def fetch_history(path: str, *, after: int = 0, amounts: bool = False) -> Fetch:
    """Daily rows, oldest first; both bounds are inclusive. Daily data is kept permanently. `after` is the offset in seconds of
    timestamps from the start of their day. One symbol per request: every symbol counts as a call, and a failure affects only one.
    """

    async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
        params: dict[str, str | int] = {
            "symbols": await symbol(api, job),
            "interval": "daily",
            "from": job.span.start_ms // 1000 + after,
            "to": job.span.end_ms // 1000 + after - 1,
        }
        if amounts:
            params["convert_to_usd"] = "false"
        page = await api.get(path, subject=job.subject, params=params)
        if not history(page):
            # An empty response is requested twice: a failing venue may return no rows.
            page = await api.get(path, subject=job.subject, params=params)
        yield page

    return fetch


def history(page: Page) -> Sequence[Record]:
    """The rows of [{"symbol": ..., "history": [...]}]; a symbol without rows may be missing."""
    return flattened(page, records(page), "history", ())


def read_history(pages: Sequence[Page], context: Context, fields: Sequence[Field]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows with `venue`, `instrument`, `unit` of amounts and `at`; and rejects, including rows of unknown instruments."""
    found = read_records(pages, history, fields)
    parts = pl.col(SUBJECT).str.split_exact(":", 1)
    units = context.instruments.select("venue", "instrument", pl.col("contract_size_unit").alias("unit"))
    frame = found.frame.with_columns(
        parts.struct.field("field_0").alias("venue"),
        parts.struct.field("field_1").alias("instrument"),
        from_seconds("at_s").alias("at"),
    ).join(units, on=["venue", "instrument"], how="left", maintain_order="left")
    unknown = rejected(
        frame.filter(pl.col("unit").is_null()),
        reason="unknown_instrument",
        detail="in no capture of the vendor's markets",
        stamp="at",
        instrument="instrument",
    )
    return frame.filter(pl.col("unit").is_not_null()), pl.concat([found.rejects, unknown])


def in_unit(unit: str, *columns: str) -> tuple[pl.Expr, ...]:
    """The columns for rows whose amounts are in `unit`, null for others."""
    return tuple(pl.when(pl.col("unit") == unit).then(pl.col(column)) for column in columns)


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The daily close, i.e. the state at the end of the day."""
    frame, rejects = read_history(pages, context, OPEN_INTEREST)
    (base,), (usd,) = in_unit("base", "amount"), in_unit("usd", "amount")
    counted = _counted(pl.col("at") + DAY)
    share = counting.share(counted)
    rows = frame.select(
        "venue",
        "instrument",
        pl.lit("1d").alias("period"),
        (pl.col("at") + DAY).alias("event_at"),
        (base * share).alias("oi_base"),
        (usd * share).alias("oi_usd"),
        pl.col("amount").alias("oi_raw"),
        pl.col("unit").alias("oi_raw_unit"),
        counting.counting(counted),
        (pl.col("at") + DAY + DELAY).alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", rows, rejects)


PASSED_ON: Final = {"bybit": counting.FACTS["bybit"][:1]}
"""The vendor reads openInterest of Bybit, which counts both sides, also since singleOpenInterest exists (?)."""


def _counted(at: pl.Expr) -> pl.Expr:
    """Coinalyze passes on what each exchange states."""
    expression = counting.sides(counting.DOCUMENTED, at)
    for venue, facts in {**counting.FACTS, **PASSED_ON}.items():
        expression = pl.when(pl.col("venue") == venue).then(counting.sides(facts, at)).otherwise(expression)
    return expression


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The daily close, i.e. the last settlement of the day, at 16:00. In percent (0.01 is 0.0001)."""
    frame, rejects = read_history(pages, context, FUNDING)
    settled = pl.col("at") + timedelta(hours=16)
    rows = frame.select(
        "venue",
        "instrument",
        pl.lit("settled").alias("kind"),
        settled.alias("settled_at"),
        (pl.col("percent") / 100).alias("rate"),
        pl.lit(8.0).alias("interval_hours"),
        (pl.col("at") + DAY + DELAY).alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, rejects)


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidated longs (l) and shorts (s) per day. Zeros are real. The vendor collects exchange streams, some of which push at
    most one order per symbol and second, so totals are a lower bound."""
    frame, rejects = read_history(pages, context, LIQUIDATIONS)
    long_base, short_base = in_unit("base", "long", "short")
    long_usd, short_usd = in_unit("usd", "long", "short")
    rows = frame.select(
        "venue",
        "instrument",
        pl.lit("position_notional").alias("measure"),
        pl.lit("1d").alias("period"),
        pl.col("at").alias("event_at"),
        long_usd.alias("long_usd"),
        short_usd.alias("short_usd"),
        (long_usd + short_usd).alias("total_usd"),
        long_base.alias("long_base"),
        short_base.alias("short_base"),
        pl.lit("throttled").alias("completeness"),
        (pl.col("at") + DAY + DELAY).alias("available_at"),
        LINE,
    )
    yield Parsed("liquidation_totals", rows, rejects)


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Long over short accounts. The value of day t is the state at the START of t, as a comparison of the recorded files with
    Binance's own data shows, so it belongs to the day before."""
    frame, rejects = read_history(pages, context, RATIOS)
    rows = frame.select(
        "venue",
        "instrument",
        pl.lit("account_global").alias("measure"),
        pl.lit("1d").alias("period"),
        pl.col("at").alias("event_at"),
        "ratio",
        (pl.col("ratio") / (1 + pl.col("ratio"))).alias("long_share"),
        (pl.col("at") + DELAY).alias("available_at"),
        LINE,
    )
    yield Parsed("long_short_ratios", rows, rejects)


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Daily candles. Volume is in the market's unit; bv is the taker buy volume (collectors compared it with trades)."""
    frame, rejects = read_history(pages, context, CANDLES)
    volume_base, taker_buy_base = in_unit("base", "volume", "taker_buy")
    (volume_quote,) = in_unit("usd", "volume")
    rows = frame.select(
        "venue",
        "instrument",
        pl.lit("perp").alias("market"),
        pl.lit("1d").alias("period"),
        pl.col("at").alias("opened_at"),
        "open",
        "high",
        "low",
        "close",
        volume_base.alias("volume_base"),
        volume_quote.alias("volume_quote"),
        taker_buy_base.alias("taker_buy_base"),
        "trades",
        (pl.col("at") + DAY + DELAY).alias("available_at"),
        LINE,
    )
    yield Parsed("candles", rows, rejects)


def coverage_rules(spans: Sequence[Span]) -> SourceRules:
    """Days without rows are missing data, not quiet days. The vendor has one of three daily settlements."""
    return SourceRules(expected_per_day={"funding_rates": 1})


def each_market(condition: pl.Expr | None = None) -> Callable[[pl.DataFrame], Mapping[str, Mapping[str, Any]]]:
    """Every instrument that meets `condition`, by venue and symbol."""

    def subjects(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
        chosen = instruments if condition is None else instruments.filter(condition)
        return {subject(row["venue"], row["instrument"]): row for row in chosen.iter_rows(named=True)}

    return subjects


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.coinalyze.net/v1"},
    # Every symbol of a request counts as a call; one is requested at a time.
    limits=(Limit(40, 60.0),),
    concurrency=4,
    check=check,
    secrets=(Secret("api_key", "COINALYZE_API_KEY"),),
    notes="A vendor: rows have the exchange as venue, and the exchange's own rows take precedence over them.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals of ten exchanges, with the unit of their amounts.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        *(
            Feed(
                name=name,
                tables=(table,),
                description=description,
                fetch=fetch,
                parse=parse,
                retention=Retention(since=date(2020, 1, 1)),
                # Past days are not restated; a second fetch would double the calls.
                cadence=Daily(published_after=timedelta(hours=2), recheck_days=0),
                # Only calls are limited, not rows: a year per call is a small response, and two years of a thousand series take
                # an hour instead of a day.
                partitioning=Partitioning(most_days=366),
                subjects=each_market(condition),
                completeness=completeness,
                rules=coverage_rules,
                parser_version=2,
            )
            for name, table, fetch, parse, condition, completeness, description in (
                (
                    "open_interest", "open_interest", fetch_history("/open-interest-history", amounts=True),
                    parse_open_interest, None, "full", "Open interest at the end of every day.",
                ),
                (
                    "funding_rate", "funding_rates", fetch_history("/funding-rate-history"), parse_funding,
                    pl.col("venue").is_in(EIGHT_HOURS) & pl.col("asset").is_in(SETTLED_AT_16), "full",
                    "The 16:00 funding settlement of bitcoin and ether on exchanges that pay funding every 8 hours.",
                ),
                (
                    "liquidations", "liquidation_totals", fetch_history("/liquidation-history", amounts=True),
                    parse_liquidations, None, "throttled", "Liquidated longs and shorts per day.",
                ),
                (
                    # The state at the end of a day has the timestamp of the next day.
                    "long_short_ratio", "long_short_ratios", fetch_history("/long-short-ratio-history", after=86_400),
                    parse_ratios, None, "full", "Ratio of long to short accounts at the end of every day.",
                ),
                (
                    "ohlcv", "candles", fetch_history("/ohlcv-history"), parse_candles, None, "full", "Daily candles.",
                ),
            )
        ),
    ),
)  # fmt: skip
