"""Coinalyze v1: what exchanges publish, as a vendor keeps it by day for good. A free key in COINALYZE_API_KEY; without it the
venue is left out.

Rows carry the exchange they are about and its own name of the instrument, so that they lie beside the exchange's own rows, and
seeds/source_precedence.csv prefers those. Facts from the vendor's documentation, from public collectors and from recorded files
of the vendor (tests/recorded/mappings/binance_daily_2022_2023.toml); what was not seen live is marked "?".
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import SourceRules
from pipelines.core.errors import LeverhouseError, RequestRefusedError, SourceFormatError
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
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    at_path,
    from_seconds,
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
"""Our id by the vendor's name of an exchange, small letters and digits of it. Others are not in seeds/venues.csv and not
followed. The letter or number in which symbols end (BTCUSDT_PERP.A) is looked up in the vendor's own list."""

EIGHT_HOURS: Final = ("binance", "bybit", "okx", "gate", "bitfinex", "bitmex")
SETTLED_AT_16: Final = ("BTC", "ETH")
"""Assets whose daily funding is the settlement of 16:00: equal to Binance's own on all 703 recorded days, and so at its likes (?).
Others may settle every four hours, which the vendor does not say, and a rate of the wrong interval would pass for a true one."""

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
"""How long after its day a row of the vendor is taken to be known; undocumented, and generous."""

records: Final[RecordsOf] = at_path()


def check(page: Page) -> None:
    """Answers are arrays. Refusals are objects with a message and come with statuses of their own (401 without a valid key)."""
    answer = page.json()
    if not isinstance(answer, list):
        raise RequestRefusedError(
            f"{NAME}: {page.where}: {page.excerpt}. Compare the request with Coinalyze's documentation."
        )


def subject(venue: str, instrument: str) -> str:
    """What a landing calls an instrument of a venue: names of instruments meet, and no id of a venue holds a colon."""
    return f"{venue}:{instrument}"


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """Which exchanges there are, and all their futures."""
    yield await api.get("/exchanges")
    yield await api.get("/future-markets")


def markets(pages: Sequence[Page]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Perpetuals on followed exchanges (with `venue`), and what could not be read."""
    known = read_records(of_endpoint(pages, "/exchanges"), records, EXCHANGE)
    read = read_records(of_endpoint(pages, "/future-markets"), records, MARKETS)
    plain = pl.col("exchange_name").str.to_lowercase().str.replace_all("[^a-z0-9]", "")
    codes = known.frame.select(
        "exchange", plain.replace_strict(EXCHANGES, default=None, return_dtype=pl.String).alias("venue")
    )
    frame = read.frame.filter("is_perpetual").join(codes, on="exchange", how="left", maintain_order="left")
    return frame.filter(pl.col("venue").is_not_null()), pl.concat([known.rejects, read.rejects])


def of_endpoint(pages: Sequence[Page], path: str) -> list[Page]:
    return [page for page in pages if page.request.get("path") == path]


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as clean.instruments, under the venue's own names.

    The vendor converts contracts: contract_size_unit says into what, which differs even within one exchange (BASE_ASSET;
    QUOTE_ASSET for most inverse ones), and contract_size is 1 of it for inverse ones. The exchange's own row, which has the
    true size, takes precedence where there is one.
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
    strange = rejected(
        joined.filter(~followed),
        reason="unknown_instrument",
        detail="the name follows no rule of its venue, or amounts are in no unit that is known",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([rejects, strange]))


Symbols = Mapping[str, str]
"""The vendor's symbols by subject."""

_ASKED: Final[weakref.WeakKeyDictionary[Api, asyncio.Task[Symbols]]] = weakref.WeakKeyDictionary()


async def symbol(api: Api, job: Job) -> str:
    """The vendor's symbol of the job's instrument. Symbols follow another rule for every exchange (BTCUSDT_PERP.A, BTCUSDT.6,
    BTC_USDT.Y), so they are looked up and not built; the list is asked for once per client, as every call counts.

    Raises RequestRefusedError where the vendor lists it no longer.
    """
    if api not in _ASKED:
        _ASKED[api] = asyncio.create_task(_symbols(api, job))
    try:
        found = (await _ASKED[api]).get(job.subject)
    except LeverhouseError:
        # The next job asks again.
        _ASKED.pop(api, None)
        raise
    if found is None:
        raise RequestRefusedError(f"{NAME}: {job.subject} is not among the vendor's markets any more.")
    return found


async def _symbols(api: Api, job: Job) -> Symbols:
    frame, _ = markets([page async for page in fetch_instruments(api, job)])
    return {subject(venue, name): found for venue, name, found in frame.select("venue", "instrument", "symbol").rows()}


def fetch_history(path: str, *, after: int = 0, amounts: bool = False) -> Fetch:
    """Rows of whole days, old to new, both bounds included. Days are kept for good; `after` is by how many seconds the stamps
    lie behind the start of their day. One symbol a request: each counts as a call, and so one that fails leaves the others."""

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
            # Believed when said twice: a venue in trouble may answer like one in which nothing happened.
            page = await api.get(path, subject=job.subject, params=params)
        yield page

    return fetch


def history(page: Page) -> Sequence[Record]:
    """The rows of [{"symbol": ..., "history": [...]}]; a symbol without any may be left out."""
    found: list[Record] = []
    for series in records(page):
        if not isinstance(series, Mapping) or not isinstance(series.get("history"), list):
            raise SourceFormatError(f"{page.where}: a series without its history: {page.excerpt}")
        found += series["history"]
    return found


def read_history(pages: Sequence[Page], context: Context, fields: Sequence[Field]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows with `venue`, `instrument`, `unit` of amounts and `at`; and rejects, those of unknown instruments among them."""
    read = read_records(pages, history, fields)
    parts = pl.col(SUBJECT).str.split_exact(":", 1)
    units = context.instruments.select("venue", "instrument", pl.col("contract_size_unit").alias("unit"))
    frame = read.frame.with_columns(
        parts.struct.field("field_0").alias("venue"),
        parts.struct.field("field_1").alias("instrument"),
        from_seconds("at_s").alias("at"),
    ).join(units, on=["venue", "instrument"], how="left", maintain_order="left")
    stray = rejected(
        frame.filter(pl.col("unit").is_null()),
        reason="unknown_instrument",
        detail="in no capture of the vendor's markets",
        stamp="at",
        instrument="instrument",
    )
    return frame.filter(pl.col("unit").is_not_null()), pl.concat([read.rejects, stray])


def in_unit(unit: str, *columns: str) -> tuple[pl.Expr, ...]:
    """The columns where amounts are in `unit`, null elsewhere."""
    return tuple(pl.when(pl.col("unit") == unit).then(pl.col(column)) for column in columns)


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The close of each day: the state at its end."""
    frame, rejects = read_history(pages, context, OPEN_INTEREST)
    (base,), (usd,) = in_unit("base", "amount"), in_unit("usd", "amount")
    rows = frame.select(
        "venue",
        "instrument",
        pl.lit("1d").alias("period"),
        (pl.col("at") + DAY).alias("event_at"),
        base.alias("oi_base"),
        usd.alias("oi_usd"),
        pl.col("amount").alias("oi_raw"),
        pl.col("unit").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        (pl.col("at") + DAY + DELAY).alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", rows, rejects)


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The close of each day: the last settlement in it, which is the one of 16:00. In percent (0.01 is 0.0001)."""
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
    """Liquidated longs (l) and shorts (s) of each day. Zeros are real. The vendor collects what exchanges push, at most one
    order per symbol and second at some of them: a lower bound."""
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
    """Accounts long over short. The value of day t is the state at the START of t, found by comparing the recorded files with
    Binance's own: it belongs to the day before."""
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
    """Daily candles. Volume is in the unit of all amounts; bv is what takers bought (collectors compared it with trades)."""
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


def as_told(spans: Sequence[Span]) -> SourceRules:
    """Days without rows are days the vendor does not tell of, and no quiet ones. Of three settlements a day it gives one."""
    return SourceRules(expected_per_day={"funding_rates": 1})


def each_market(condition: pl.Expr | None = None) -> Callable[[pl.DataFrame], Mapping[str, Mapping[str, Any]]]:
    """Every instrument that meets `condition`, under its venue and name."""

    def subjects(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
        chosen = instruments if condition is None else instruments.filter(condition)
        return {subject(row["venue"], row["instrument"]): row for row in chosen.iter_rows(named=True)}

    return subjects


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.coinalyze.net/v1"},
    # Every symbol of a request counts as a call; we ask for one at a time.
    limits=(Limit(40, 60.0),),
    concurrency=4,
    check=check,
    secrets=(Secret("api_key", "COINALYZE_API_KEY"),),
    notes="A vendor: rows carry the exchange they are about, and yield to the exchange's own where both are there.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals of ten exchanges, with the unit in which their amounts are given.",
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
                cadence=Daily(published_after=timedelta(hours=2), recheck_days=0),
                partitioning=Partitioning(most_days=366),
                subjects=each_market(condition),
                # Calls are counted, whatever they ask for: a year at once is a small answer, and two years of a thousand
                # series take an hour instead of a day.
                # A day that is over is not restated; asking twice would use up half of the calls.
                completeness=completeness,
                rules=as_told,
            )
            for name, table, fetch, parse, condition, completeness, description in (
                (
                    "open_interest", "open_interest", fetch_history("/open-interest-history", amounts=True),
                    parse_open_interest, None, "full", "Open interest at the end of every day.",
                ),
                (
                    "funding_rate", "funding_rates", fetch_history("/funding-rate-history"), parse_funding,
                    pl.col("venue").is_in(EIGHT_HOURS) & pl.col("asset").is_in(SETTLED_AT_16), "full",
                    "The settlement of 16:00 of bitcoin and ether where funding is paid every 8 hours.",
                ),
                (
                    "liquidations", "liquidation_totals", fetch_history("/liquidation-history", amounts=True),
                    parse_liquidations, None, "throttled", "Liquidated longs and shorts by day.",
                ),
                (
                    # The state at the end of a day has the stamp of the next.
                    "long_short_ratio", "long_short_ratios", fetch_history("/long-short-ratio-history", after=86_400),
                    parse_ratios, None, "full", "Ratio of accounts long and short at the end of every day.",
                ),
                (
                    "ohlcv", "candles", fetch_history("/ohlcv-history"), parse_candles, None, "full", "Daily candles.",
                ),
            )
        ),
    ),
)  # fmt: skip
