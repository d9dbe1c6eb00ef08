"""Emulates Binance's archives as found by audits: zips of one CSV, each with a .CHECKSUM file, and the bucket's listing.

Covers both label conventions of metrics, sentinel rows, files with and without header, microseconds in spot files, and doubled
liquidation rows.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final
from xml.sax.saxutils import escape

import polars as pl

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, Market, MarketModel, Measure

LISTINGS: Final = (
    Listing("binance", "BTCUSDT", "BTC"),
    Listing("binance", "ETHUSDT", "ETH"),
    Listing("binance", "1000PEPEUSDT", "PEPE", multiplier=1000.0, listed_at=datetime(2023, 5, 5)),
    # Delisted: missing from current listings, but its folder remains.
    Listing("binance", "AVAXBUSD", "AVAX", quote="BUSD", delisted_at=datetime(2024, 1, 15)),
    Listing("binance", "BTCUSD_PERP", "BTC", quote="USD", contract_type="inverse", contract_size=100.0,
            contract_size_unit="usd"),
    Listing("binance", "ETHUSD_PERP", "ETH", quote="USD", contract_type="inverse", contract_size=10.0,
            contract_size_unit="usd"),
    Listing("binance", "BTC/USDT", "BTC", contract_type="spot"),
    Listing("binance", "PEPE/USDT", "PEPE", contract_type="spot", listed_at=datetime(2023, 5, 5)),
)  # fmt: skip
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
BY_SYMBOL: Final = {
    (
        {"linear": "futures/um", "inverse": "futures/cm", "spot": "spot"}[x.contract_type],
        x.instrument.replace("/", ""),
    ): x
    for x in LISTINGS
}

KEYS_PER_PAGE: Final = 2
"""The real bucket returns 1000; two here, so that markers are used."""

LAG: Final = timedelta(hours=20)
"""Time from the end of a day or month to the publication of its file."""

LAST_END_LABELED: Final = date(2026, 6, 25)
SENTINELS: Final = (datetime(2022, 3, 7, 16), datetime(2025, 4, 15, 8))
MICROSECONDS_FROM: Final = date(2025, 1, 1)

MEASURES: Final[Sequence[Measure]] = ("account_top", "position_top", "account_global", "taker_volume")
"""In column order."""

METRICS_COLUMNS: Final = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)
KLINE_COLUMNS: Final = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
_FILE: Final = re.compile(
    r"(?P<symbol>.+?)-(?P<label>[A-Za-z0-9]+)-(?P<when>\d{4}-\d{2}(-\d{2})?)\.zip(?P<sum>\.CHECKSUM)?"
)


def file(request: Request, market: MarketModel) -> Response:
    """A zip or its checksum file; the bucket's 404 for a file that is not published yet or never."""
    found = _FILE.fullmatch(request.params["file"])
    if found is None or found["symbol"] != request.params["symbol"]:
        return _no_such_key(request)
    start, end = _span(found["when"])
    product = (
        "option"
        if request.path.startswith("/data/option")
        else request.path.split("/daily/")[0].split("/monthly/")[0][6:]
    )
    text = (
        None if end + LAG > request.now else _text(market, product, request.path, request.params["symbol"], start, end)
    )
    if text is None:
        return _no_such_key(request)
    name = request.params["file"].removesuffix(".CHECKSUM")
    body = zipped(name.replace(".zip", ".csv"), text)
    return Response(checksum(body, name) if found["sum"] else body)


def zipped(name: str, text: bytes) -> bytes:
    """A zip of one file; deterministic for a given text."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        member = zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0))
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, text)
    return sink.getvalue()


def checksum(body: bytes, name: str) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()}  {name}\n".encode()


def _text(market: MarketModel, product: str, path: str, symbol: str, start: datetime, end: datetime) -> bytes | None:
    kind = path.split("/")[-3] if "/1h/" not in path else path.split("/")[-4]
    if kind == "BVOLIndex":
        return bvol_text(market, symbol, start, end)
    listing = BY_SYMBOL.get((product, symbol))
    if listing is None or end <= listing.listed_at or (listing.delisted_at and start >= listing.delisted_at):
        return None
    if kind == "metrics":
        return metrics_text(market, listing, start.date())
    if kind == "fundingRate":
        return funding_text(market, listing, start, end)
    if kind == "liquidationSnapshot":
        return liquidations_text(market, listing, start, end)
    return klines_text(market, listing, kind, start, end)


def metrics_text(market: MarketModel, listing: Listing, day: date) -> bytes:
    """A day of 5-minute metrics, in the label convention of that day."""
    step = timedelta(minutes=5)
    first = datetime(day.year, day.month, day.day) + step
    last = first + timedelta(days=1)
    inverse = listing.contract_type == "inverse"
    frame = market.open_interest(listing, 5, first, last)
    for measure in MEASURES:
        ratios = market.ratios(listing, measure, 5, first, last)
        frame = frame.join(ratios.rename({"ratio": measure}), on="event_at", maintain_order="left")
    labeled = pl.col("event_at") - step if inverse or day > LAST_END_LABELED else pl.col("event_at")
    size = listing.contract_size or 1.0
    if inverse:
        amount, value = pl.col("oi_usd") / size, pl.col("oi_base")
    else:
        amount, value = pl.col("oi_base") / listing.multiplier, pl.col("oi_usd")
    is_sentinel = pl.col("event_at").is_in(SENTINELS)
    shares = [pl.lit('""') if inverse and measure != "taker_volume" else _decimals(measure) for measure in MEASURES]
    cells = [_decimals(amount), _decimals(value), *shares]
    lines = frame.select(
        pl.concat_str(
            labeled.dt.strftime("%Y-%m-%d %H:%M:%S"),
            pl.lit(listing.instrument),
            *(pl.when(is_sentinel).then(pl.lit("0")).otherwise(cell) for cell in cells),
            separator=",",
        )
    )
    return _csv(METRICS_COLUMNS, lines)


def funding_text(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> bytes:
    """A month of settlements; timestamps are a few milliseconds late, like Binance's."""
    frame = market.funding(listing, start, end)
    late = pl.col("settled_at").dt.epoch("ms") + pl.int_range(pl.len()) % 7
    lines = frame.select(pl.concat_str(late, pl.col("interval_hours").cast(pl.Int64), _decimals("rate"), separator=","))
    return _csv("calc_time,funding_interval_hours,last_funding_rate", lines)


def klines_text(market: MarketModel, listing: Listing, kind: str, start: datetime, end: datetime) -> bytes:
    """Hourly candles: with a header in futures files of even months only; spot files in microseconds since 2025."""
    markets: dict[str, Market] = {"markPriceKlines": "mark", "indexPriceKlines": "index"}
    spot = listing.contract_type == "spot"
    frame = market.candles(listing, markets.get(kind, "spot" if spot else "perp"), 60, start, end)
    # One unit of 1000PEPEUSDT is a thousand coins.
    multiplier = listing.multiplier
    frame = frame.with_columns(
        *(pl.col(c) * multiplier for c in ("open", "high", "low", "close")),
        *(pl.col(c) / multiplier for c in ("volume_base", "taker_buy_base")),
    )
    unit = 1_000_000 if spot and start.date() >= MICROSECONDS_FROM else 1_000
    opened = pl.col("opened_at").dt.epoch("us") // (1_000_000 // unit)
    volumes = [
        pl.col("volume_base"),
        pl.col("volume_quote"),
        pl.col("taker_buy_base"),
        pl.col("taker_buy_base") * pl.col("open"),
    ]
    if listing.contract_type == "inverse":
        size = listing.contract_size or 1.0
        volumes = [
            pl.col("volume_quote") / size,
            pl.col("volume_base"),
            pl.col("taker_buy_base") * 7,
            pl.col("taker_buy_base"),
        ]
    traded, other, taker, taker_other = (_decimals(v if kind == "klines" else v * 0) for v in volumes)
    lines = frame.select(
        pl.concat_str(
            opened, *map(_decimals, ("open", "high", "low", "close")), traded, opened + 3600 * unit - 1, other,
            "trades", taker, taker_other, pl.lit("0"), separator=",",
        )
    )  # fmt: skip
    return _csv(KLINE_COLUMNS if not spot and start.month % 2 == 0 else "", lines)


def liquidations_text(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> bytes | None:
    """Liquidation orders in whole contracts, every row twice."""
    if not (datetime(2023, 6, 25) <= start < datetime(2024, 10, 15)) or listing.contract_type != "inverse":
        return None
    frame = market.liquidations(listing, start, end)
    order = pl.when(pl.col("side") == "long").then(pl.lit("SELL")).otherwise(pl.lit("BUY"))
    contracts = pl.col("quantity_base").cast(pl.Int64)
    lines = frame.select(
        pl.concat_str(
            pl.col("occurred_at").dt.epoch("ms"), order, pl.lit("LIMIT,IOC"), contracts, _decimals(pl.col("price") * 1.004),
            _decimals("price"), pl.lit("FILLED"), contracts, contracts, separator=",",
        ).repeat_by(2).explode()
    )  # fmt: skip
    columns = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity"
    return _csv(f"{columns},accumulated_fill_quantity", lines)


def bvol_text(market: MarketModel, symbol: str, start: datetime, end: datetime) -> bytes | None:
    """One value every 15 minutes (the real archive has one per second): each hour's open, high, low and close."""
    if start < datetime(2023, 6, 20) or symbol not in ("BTCBVOLUSDT", "ETHBVOLUSDT"):
        return None
    base = symbol.removesuffix("USDT")
    hours = market.volatility_index(base.removesuffix("BVOL"), 60, start, end)
    values = hours.unpivot(["open", "high", "low", "close"], index="opened_at")
    minute = pl.col("variable").replace_strict({"open": 0, "high": 15, "low": 30, "close": 45}, return_dtype=pl.Int64)
    lines = (
        values.with_columns((pl.col("opened_at").dt.epoch("ms") + minute * 60_000).alias("at"))
        .sort("at")
        .select(pl.concat_str("at", pl.lit(f"{symbol},{base},USDT"), _decimals(pl.col("value") * 100), separator=","))
    )
    return _csv("calc_time,symbol,base_asset,quote_asset,index_value", lines)


def listing(request: Request, market: MarketModel) -> Response:
    """ListObjects. With a delimiter: folders below a prefix after a marker, KEYS_PER_PAGE at a time."""
    prefix, marker = request.params.get("prefix", ""), request.params.get("marker", "")
    if "delimiter" not in request.params:
        return _files_after(request, prefix, marker) if marker else _files_of_month(request, prefix)
    found = re.fullmatch(r"data/(futures/um|futures/cm|spot)/(daily|monthly)/(\w+)/", prefix)
    symbols = sorted(symbol for product, symbol in BY_SYMBOL if found and product == found[1])
    keys = [key for symbol in symbols if (key := f"{prefix}{symbol}/") > marker]
    page, more = keys[:KEYS_PER_PAGE], len(keys) > KEYS_PER_PAGE
    entries = "".join(f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>" for key in page)
    after = f"<NextMarker>{escape(page[-1])}</NextMarker>" if more else ""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>data.binance.vision</Name><Prefix>{escape(prefix)}</Prefix><Marker>{escape(marker)}</Marker>{after}"
        f"<MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><IsTruncated>{str(more).lower()}</IsTruncated>{entries}"
        "</ListBucketResult>"
    )
    return Response(text.encode())


def _files_after(request: Request, prefix: str, marker: str) -> Response:
    """The newest file in a symbol's folder, if it sorts after the marker."""
    stem = marker[:-10]
    folder = re.match(r"data/(futures/um|futures/cm|spot|option)/\w+/\w+/([^/]+)/", prefix)
    found = BY_SYMBOL.get((folder[1], folder[2])) if folder else None
    newest = request.now - LAG - timedelta(days=1)
    if found is not None and found.delisted_at is not None:
        newest = min(newest, found.delisted_at - timedelta(microseconds=1))
    if "/monthly/" in prefix and _span(f"{newest:%Y-%m}")[1] + LAG > request.now:
        newest = newest.replace(day=1) - timedelta(days=1)
    name = f"{stem}{newest:%Y-%m-%d}.zip" if "/daily/" in prefix else f"{stem}{newest:%Y-%m}.zip"
    key = f"<Contents><Key>{name}</Key></Contents>" if name > marker else ""
    text = (
        f"<ListBucketResult><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{key}</ListBucketResult>"
    )
    return Response(text.encode())


def _files_of_month(request: Request, prefix: str) -> Response:
    """A symbol's daily files of the month at the end of the prefix, each followed by its checksum file."""
    found = re.fullmatch(r"data/(futures/um|futures/cm|spot)/daily/\w+/([^/]+)/(?:1h/)?[^/]+-(\d{4}-\d{2})", prefix)
    instrument = BY_SYMBOL.get((found[1], found[2])) if found else None
    keys = []
    if found is not None and instrument is not None:
        day, after = _span(found[3])
        after = min(after, request.now - LAG, instrument.delisted_at or after)
        while day + timedelta(days=1) <= after:
            if day + timedelta(days=1) > instrument.listed_at:
                keys += [f"{prefix}{day:-%d}.zip", f"{prefix}{day:-%d}.zip.CHECKSUM"]
            day += timedelta(days=1)
    entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    text = f"<ListBucketResult><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    return Response(text.encode())


def _no_such_key(request: Request) -> Response:
    text = f"<Error><Code>NoSuchKey</Code><Key>{escape(request.path[1:])}</Key><RequestId>{id(request)}</RequestId></Error>"
    return Response(text.encode(), status=404)


def _span(when: str) -> tuple[datetime, datetime]:
    start = datetime.fromisoformat(when if len(when) == 10 else f"{when}-01")
    after = start + timedelta(days=1) if len(when) == 10 else (start + timedelta(days=32)).replace(day=1)
    return start, after


def _decimals(number: pl.Expr | str) -> pl.Expr:
    """Up to twelve decimals, like the files."""
    return (pl.col(number) if isinstance(number, str) else number).round(12).cast(pl.Decimal(38, 12)).cast(pl.String)


def _csv(header: str, lines: pl.DataFrame) -> bytes:
    text = lines.to_series().str.join("\n")[0] or ""
    return (f"{header}\n" if header else "").encode() + text.encode() + b"\n"


ROUTES: Final[Sequence[Route]] = (
    *(
        Route("GET", "archive", f"/data/{product}/{cadence}/{kind}/{{symbol}}/{{file}}", file)
        for product in ("futures/um", "futures/cm", "option")
        for cadence in ("daily", "monthly")
        for kind in ("metrics", "fundingRate", "liquidationSnapshot", "BVOLIndex")
    ),
    *(
        Route("GET", "archive", f"/data/{product}/{cadence}/{kind}/{{symbol}}/1h/{{file}}", file)
        for product in ("futures/um", "futures/cm", "spot")
        for cadence in ("daily", "monthly")
        for kind in ("klines", "markPriceKlines", "indexPriceKlines")
    ),
    Route("GET", "listing", "/", listing),
)
