"""Binance's options (eapi): the whole chain as it stands, put together from what four endpoints say of it.

Quoted and settled in tether, sized in coins. No history is published: what is not captured is lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import parse_symbol
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.binance.wire import VENUE_ID
from pipelines.sources.records import LINE, Field, at_path, from_ms, read_records, rejected

ENDPOINT: Final = "eapi"
WEIGHT: Final = "options weight"

OPTIONS: Final = (
    Field("symbol", "instrument", str),
    Field("underlying", "pair", str),
    Field("side", "side", str),
    Field("strikePrice", "strike", float),
    Field("expiryDate", "expiry_ms", int),
    Field("unit", "unit", float),
)
OPEN_INTEREST: Final = (Field("symbol", "instrument", str), Field("sumOpenInterest", "contracts", float))
MARKS: Final = (
    Field("symbol", "instrument", str),
    Field("markPrice", "mark_price", float, optional=True),
    Field("markIV", "mark_iv", float, optional=True),
    Field("delta", "delta", float, optional=True),
)
TICKERS: Final = (Field("symbol", "instrument", str), Field("volume", "volume", float, optional=True))


async def fetch_option_chain(api: Api, job: Job) -> AsyncIterator[Page]:
    """The list of options, their open interest by underlying and expiry, and one page each of marks and of volumes."""
    listed = await api.get("/eapi/v1/exchangeInfo", endpoint=ENDPOINT, costs={WEIGHT: 1})
    yield listed
    series = _series(listed)
    for pair, expiration in series:
        asset = pair.removesuffix("USDT")
        params = {"underlyingAsset": asset, "expiration": expiration}
        yield await api.get("/eapi/v1/openInterest", endpoint=ENDPOINT, params=params, costs={WEIGHT: 1})
    yield await api.get("/eapi/v1/mark", endpoint=ENDPOINT, costs={WEIGHT: 5})
    yield await api.get("/eapi/v1/ticker", endpoint=ENDPOINT, costs={WEIGHT: 5})
    for pair in sorted({pair for pair, _ in series}):
        yield await api.get("/eapi/v1/index", endpoint=ENDPOINT, params={"underlying": pair}, costs={WEIGHT: 1})


def _series(listed: Page) -> list[tuple[str, str]]:
    """(underlying, expiry as in the names: 221119) of all options that are listed."""
    options: Any = at_path("optionSymbols")(listed)
    try:
        return sorted({(str(option["underlying"]), str(option["symbol"]).split("-")[1]) for option in options})
    except (KeyError, IndexError, TypeError) as error:
        raise SourceFormatError(
            f"{listed.where}: an option has no underlying or no expiry: {listed.excerpt}"
        ) from error


def parse_option_chain(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """All options of the capture, stamped with the moment its last page came, so that a chain is one instant.

    Amounts are contracts of `unit` coins. The mark is in tether: divided by the index it is in coins. Binance publishes no
    forward of an expiry, so underlying_price stays empty. An option without a word on its open interest is left out: an
    unknown is no zero.
    """
    options = read_records(_of(pages, "exchangeInfo"), at_path("optionSymbols"), OPTIONS)
    interest = read_records(_of(pages, "openInterest"), at_path(), OPEN_INTEREST)
    marks = read_records(_of(pages, "mark"), at_path(), MARKS)
    tickers = read_records(_of(pages, "ticker"), at_path(), TICKERS)
    captured = max((page.received_at for page in pages), default=context.fetched_at)
    listed = options.frame.select("instrument", "pair", "side", "strike", "expiry_ms", "unit")
    chain = (
        interest.frame.select("instrument", "contracts", LINE)
        .join(listed, on="instrument", how="left", maintain_order="left")
        .join(_first(marks.frame, "mark_price", "mark_iv", "delta"), on="instrument", how="left", maintain_order="left")
        .join(_first(tickers.frame, "volume"), on="instrument", how="left", maintain_order="left")
        .join(_index_prices(pages), on="pair", how="left", maintain_order="left")
        .join(_assets(listed["pair"]), on="pair", how="left", maintain_order="left")
    )
    is_known = pl.col("asset").is_not_null() & pl.col("side").is_in(["CALL", "PUT"])
    rows = chain.filter(is_known).select(
        pl.lit(VENUE_ID).alias("venue"),
        "instrument",
        pl.lit(captured, pl.Datetime("us")).alias("snapshot_at"),
        pl.col("asset").alias("underlying"),
        from_ms("expiry_ms").dt.date().alias("expiry_date"),
        "strike",
        pl.col("side").str.to_lowercase().alias("option_type"),
        (pl.col("contracts") * pl.col("unit")).alias("oi_base"),
        (pl.col("volume") * pl.col("unit")).alias("volume_24h_base"),
        # Below zero stands for none (?).
        pl.when(pl.col("mark_iv") >= 0).then(pl.col("mark_iv")).alias("mark_iv"),
        (pl.col("mark_price") / pl.col("index_price")).alias("mark_price_base"),
        "index_price",
        "delta",
        pl.lit(captured, pl.Datetime("us")).alias("available_at"),
        LINE,
    )
    unknown = rejected(
        chain.filter(~is_known),
        reason="unknown_instrument",
        detail="in no list of Binance's options",
        instrument="instrument",
    )
    rejects = [options.rejects, interest.rejects, marks.rejects, tickers.rejects, unknown]
    yield Parsed("option_chain", rows, pl.concat(rejects))


def _of(pages: Sequence[Page], name: str) -> list[Page]:
    return [page for page in pages if str(page.request["path"]).endswith(f"/{name}")]


def _first(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    return frame.select("instrument", *columns).unique("instrument", keep="first", maintain_order=True)


def _index_prices(pages: Sequence[Page]) -> pl.DataFrame:
    """Spot index in dollars by underlying, which is named in the request."""
    found = read_records(_of(pages, "index"), lambda page: [page.json()], (Field("indexPrice", "index_price", float),))
    pairs = [str(page.request["params"]["underlying"]) for page in _of(pages, "index")]
    if found.frame.height != len(pairs):
        raise SourceFormatError(f"{found.rejects.height} of {len(pairs)} index prices of options cannot be read.")
    return found.frame.select(pl.Series("pair", pairs, dtype=pl.String), "index_price")


def _assets(pairs: pl.Series) -> pl.DataFrame:
    names = pairs.unique(maintain_order=True).to_list()
    facts = [parse_symbol(VENUE_ID, name) for name in names]
    return pl.DataFrame(
        {"pair": names, "asset": [fact.asset if fact else None for fact in facts]},
        schema={"pair": pl.String, "asset": pl.String},
    )
