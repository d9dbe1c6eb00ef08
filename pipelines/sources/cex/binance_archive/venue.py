"""Binance's public archives (data.binance.vision): the venue, its feeds, and instruments from the bucket listing.

Facts from audits of the files; anything not verified live is marked "?". No key; the base address may be a local mirror.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import KnownGap, SourceRules
from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import InstrumentFacts, parse_symbol, split_quote, spot_symbol
from pipelines.extract.paging import pages_by_cursor
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Fetch,
    Job,
    Page,
    Parse,
    Parsed,
    Partitioning,
    Retention,
    Rules,
    Span,
    Subjects,
    Venue,
)
from pipelines.sources.cex.binance.wire import (
    SPOT_QUOTES,
    VENUE_ID,
    coin_m,
    contract_size,
    delivery,
    perpetuals,
    spot_pairs,
    usdt_m,
)
from pipelines.sources.cex.binance_archive.history import (
    ARCHIVE_LAG,
    CM_FUNDING,
    COIN_M,
    COIN_M_MARK,
    INDEX,
    MARK,
    SPOT,
    UM_FUNDING,
    USDT_M,
    fetch_funding,
    parse_cm_metrics,
    parse_funding,
    parse_liquidations,
    parse_um_metrics,
    parse_volatility_index,
)
from pipelines.sources.cex.binance_archive.wire import LISTING, NAME, Archive, check
from pipelines.sources.records import LINE, SUBJECT, rejected

UM_METRICS: Final = Archive("futures/um", "metrics")
CM_METRICS: Final = Archive("futures/cm", "metrics")
CM_LIQUIDATIONS: Final = Archive("futures/cm", "liquidationSnapshot")
BVOL: Final = Archive("option", "BVOLIndex")

EPOCH: Final = datetime(1970, 1, 1)

LISTED: Final = (
    UM_METRICS.folder("daily"), UM_FUNDING.folder("monthly"), USDT_M.archive.folder("daily"),
    CM_METRICS.folder("daily"), CM_FUNDING.folder("monthly"), COIN_M.archive.folder("daily"),
    CM_LIQUIDATIONS.folder("daily"), SPOT.archive.folder("daily"),
)  # fmt: skip
"""Folders with one subfolder per instrument; a mirror may have only some of them."""

_FOLDER: Final = re.compile(rb"<CommonPrefixes><Prefix>data/(futures/um|futures/cm|spot)/\w+/\w+/([^<>/]+)/</Prefix>")
_NEXT: Final = re.compile(rb"<NextMarker>([^<>]+)</NextMarker>")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """The bucket's folders, 1000 per page. Delisted symbols keep their folders, which avoids survivorship bias."""
    for prefix in LISTED:

        async def get(marker: str | None, prefix: str = prefix) -> Page:
            params = {"delimiter": "/", "prefix": prefix} | ({"marker": marker} if marker else {})
            return await api.get("/", endpoint=LISTING, params=params, is_json=False)

        async for page in pages_by_cursor(get, _next_marker):
            yield page


def _next_marker(page: Page) -> str | None:
    if b"<IsTruncated>true</IsTruncated>" not in page.body:
        return None
    if found := _NEXT.search(page.body):
        return found[1].decode()
    raise SourceFormatError(f"{page.where}: truncated listing without NextMarker; the bucket's format changed.")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One instrument per folder, valid from 1970: the archive does not give a start date, and contract sizes never changed (?).

    Spot pairs in unsupported quote currencies (BIDR, UAH and the like) are skipped; futures with an unknown symbol format are
    rejected.
    """
    names: dict[tuple[str, str], Page] = {}
    for page in pages:
        for market, symbol in _FOLDER.findall(page.body):
            names.setdefault((market.decode(), symbol.decode("utf-8", "replace")), page)
    known = [_instrument(facts, page) for name, page in names.items() if (facts := _facts(*name)) is not None]
    unknown = [
        {SUBJECT: symbol, "market": market}
        for market, symbol in names
        if not (market == "spot" or _facts(market, symbol))
    ]
    numbered = pl.DataFrame(known, schema=_INSTRUMENT, orient="row").with_row_index(LINE, offset=1)
    rows = numbered.unique("instrument", keep="first", maintain_order=True).with_columns(pl.col(LINE).cast(pl.Int64))
    unparsed = pl.DataFrame(unknown, schema={SUBJECT: pl.String, "market": pl.String}).with_row_index(LINE, offset=1)
    rejects = rejected(
        unparsed.with_columns(pl.col(LINE).cast(pl.Int64)),
        reason="unknown_instrument",
        detail="the folder's name follows no rule of Binance's",
    )
    yield Parsed("instruments", rows, rejects)


_INSTRUMENT: Final = {
    "venue": pl.String(), "instrument": pl.String(), "valid_from": pl.Datetime("us"), "asset": pl.String(),
    "quote": pl.String(), "contract_type": pl.String(), "contract_size": pl.Float64(), "contract_size_unit": pl.String(),
    "multiplier": pl.Float64(), "delisted_at": pl.Datetime("us"), "available_at": pl.Datetime("us"),
}  # fmt: skip


# Cached because every capture in the history repeats the same symbols.
@lru_cache(maxsize=20_000)
def _facts(market: str, symbol: str) -> InstrumentFacts | None:
    if market != "spot":
        return parse_symbol(VENUE_ID, symbol)
    # With a slash, since BTCUSDT is the perpetual.
    pair = split_quote(symbol, SPOT_QUOTES)
    return parse_symbol(VENUE_ID, spot_symbol(VENUE_ID, *pair)) if pair else None


def _instrument(facts: InstrumentFacts, page: Page) -> dict[str, Any]:
    size = contract_size(facts)
    return {
        "venue": VENUE_ID,
        "instrument": facts.instrument,
        "valid_from": EPOCH,
        "asset": facts.asset,
        "quote": facts.quote,
        "contract_type": facts.contract_type,
        "contract_size": size,
        "contract_size_unit": "usd" if size else None,
        "multiplier": facts.multiplier,
        "delisted_at": delivery(facts.instrument),
        "available_at": page.received_at,
    }


def only_coin_m(spans: Sequence[Span]) -> SourceRules:
    """Landed days cover COIN-M only, throttled by the stream, so every day is a gap and none counts as free of events."""
    days = sorted({day for span in spans for day in span.days})
    if not days:
        return SourceRules()
    reason = "COIN-M only, and at most one liquidation per symbol and second"
    return SourceRules(gaps=(KnownGap("liquidations", days[0], days[-1], reason),))


def cm_rules(spans: Sequence[Span]) -> SourceRules:
    """Days missing from every COIN-M archive."""
    reason = "the exchange publishes no COIN-M metrics of these days"
    tables = ("open_interest", "long_short_ratios")
    return SourceRules(
        gaps=tuple(KnownGap(t, date(2024, 3, 4), date(2024, 6, 8), reason, kind="no file at the venue") for t in tables)
    )


def volatility_symbols(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
    """BVOL is published for bitcoin and ether."""
    followed = set(instruments["asset"])
    return {f"{asset}BVOLUSDT": {} for asset in ("BTC", "ETH") if asset in followed}


def _daily(
    name: str,
    tables: tuple[str, ...],
    fetch: Fetch,
    parse: Parse,
    since: date,
    subjects: Subjects,
    description: str,
    *,
    until: date | None = None,
    completeness: str = "full",
    rules: Rules | None = None,
) -> Feed:
    """A feed of daily files, published a day or two after the day and sometimes replaced during the following week."""
    return Feed(
        name=name,
        tables=tables,
        description=description,
        fetch=fetch,
        parse=parse,
        retention=Retention(since=since, until=until),
        cadence=Daily(published_after=ARCHIVE_LAG, recheck_days=7),
        partitioning=Partitioning(months="past"),
        subjects=subjects,
        completeness=completeness,
        rules=rules,
    )


VENUE: Final = Venue(
    name=NAME,
    endpoints={
        "archive": "https://data.binance.vision",
        # S3 listing of the same bucket; the host above serves an HTML page instead. A mirror folder serves both.
        "listing": "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision",
    },
    # A CDN without a published rate limit; concurrency is the only bound.
    limits=(),
    concurrency=16,
    check=check,
    notes="A local mirror is a folder with data/… as in the bucket, with .CHECKSUM files; set it as file:// for both endpoints.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Every symbol that ever had a file, delisted symbols included: USDT-M, COIN-M, spot.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2017, 8, 17)),
            cadence=Capture(every_hours=24),
        ),
        _daily("um_metrics", ("open_interest", "long_short_ratios"), UM_METRICS.fetch, parse_um_metrics, date(2020, 9, 1), usdt_m,
               "USDT-M open interest and four long/short ratios every 5 minutes; most symbols since 2021-12."),
        _daily("cm_metrics", ("open_interest", "long_short_ratios"), CM_METRICS.fetch, parse_cm_metrics, date(2021, 7, 8), coin_m,
               "COIN-M open interest and taker ratio every 5 minutes; 2024-03-04 to 2024-06-08 are missing.", rules=cm_rules),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates of perpetuals with their interval, in monthly files published early the next month.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Daily(published_after=ARCHIVE_LAG, recheck_days=7),
            partitioning=Partitioning(months="only"),
            subjects=perpetuals,
        ),
        _daily("um_candles", ("candles",), USDT_M.archive.fetch, USDT_M.parse, date(2019, 12, 31), usdt_m,
               "USDT-M hourly candles."),
        _daily("cm_candles", ("candles",), COIN_M.archive.fetch, COIN_M.parse, date(2020, 8, 10), coin_m,
               "COIN-M hourly candles; volume converted from contracts."),
        _daily("spot_candles", ("candles",), SPOT.archive.fetch, SPOT.parse, date(2017, 8, 17), spot_pairs,
               "Hourly candles of spot pairs quoted in dollar stablecoins."),
        _daily("um_mark_candles", ("candles",), MARK.archive.fetch, MARK.parse, date(2020, 1, 1), usdt_m,
               "USDT-M hourly mark prices."),
        _daily("um_index_candles", ("candles",), INDEX.archive.fetch, INDEX.parse, date(2020, 1, 1), usdt_m,
               "USDT-M hourly index prices."),
        _daily("cm_mark_candles", ("candles",), COIN_M_MARK.archive.fetch, COIN_M_MARK.parse, date(2020, 8, 10), coin_m,
               "COIN-M hourly mark prices."),
        _daily("cm_liquidations", ("liquidations",), CM_LIQUIDATIONS.fetch, parse_liquidations, date(2023, 6, 25), coin_m,
               "COIN-M liquidation orders, published 2023-06-25 to 2024-10-14 only; Binance withdrew the USDT-M files.",
               until=date(2024, 10, 14), completeness="throttled", rules=only_coin_m),
        _daily("volatility_index", ("volatility_index",), BVOL.fetch, parse_volatility_index, date(2023, 6, 20),
               volatility_symbols, "BVOL of bitcoin and ether: hourly candles aggregated from one value per second."),
    ),
)  # fmt: skip
