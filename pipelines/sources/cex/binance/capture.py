"""Captures of Binance's current state: open interest and predicted funding of perpetuals, and the option chain (eapi).

None of it can be fetched later. A snapshot of open interest yields to any history of the same day. Options are quoted and
settled in USDT and sized in coin; the chain is joined from four endpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import parse_symbol
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.binance.history import funding_rows, open_interest_columns, with_contracts
from pipelines.sources.cex.binance.wire import (
    CM,
    EAPI,
    OPTIONS_WEIGHT,
    VENUE_ID,
    WEIGHT,
    get_for_instrument,
    host,
    while_listed,
)
from pipelines.sources.records import LINE, Field, Records, at_path, from_ms, kept, look_up, read_records, rejected

CURRENT_OPEN_INTEREST: Final = (Field("openInterest", "amount", float), Field("time", "at_ms", int))
PREMIUM: Final = (
    Field("lastFundingRate", "rate", float, optional=True),
    Field("nextFundingTime", "next_ms", int),
    Field("markPrice", "mark_price", float),
    Field("time", "at_ms", int),
)

OPTIONS: Final = (
    Field("symbol", "instrument", str),
    Field("underlying", "pair", str),
    Field("side", "side", str),
    Field("strikePrice", "strike", float),
    Field("expiryDate", "expiry_ms", int),
    Field("unit", "unit", float),
)
OPTION_OPEN_INTEREST: Final = (Field("symbol", "instrument", str), Field("sumOpenInterest", "contracts", float))
MARKS: Final = (
    Field("symbol", "instrument", str),
    Field("markPrice", "mark_price", float, optional=True),
    Field("markIV", "mark_iv", float, optional=True),
    Field("delta", "delta", float, optional=True),
)
TICKERS: Final = (Field("symbol", "instrument", str), Field("volume", "volume", float, optional=True))


@while_listed
async def fetch_current_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Current open interest, one instrument per response."""
    endpoint = host(job)
    path, params = f"/{endpoint}/v1/openInterest", {"symbol": job.subject}
    yield await get_for_instrument(api, path, endpoint=endpoint, subject=job.subject, params=params, costs={WEIGHT: 1})


def parse_current_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided, in base coin (USDT-M) or contracts (COIN-M); the response has no value in dollars."""
    records = read_records(pages, _one_or_many, CURRENT_OPEN_INTEREST)
    frame, unknown = with_contracts(records.frame, context)
    inverse = pl.col("contract_type") == "inverse"
    rows = frame.select(
        *open_interest_columns("snapshot"),
        pl.when(~inverse).then(pl.col("amount")).alias("oi_base"),
        pl.when(inverse).then(pl.col("amount") * pl.col("contract_size")).alias("oi_usd"),
    )
    yield Parsed("open_interest", rows, pl.concat([records.rejects, unknown]))


@while_listed
async def fetch_predicted_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """The current estimate of the next rate, with the mark price."""
    endpoint = host(job)
    params = {"symbol": job.subject}
    path = f"/{endpoint}/v1/premiumIndex"
    yield await api.get(
        path, endpoint=endpoint, subject=job.subject, params=params, costs={WEIGHT: 10 if endpoint == CM else 1}
    )


def parse_predicted_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The estimate of the next settlement. The clean table keeps the last capture before that settlement."""
    records = read_records(pages, _one_or_many, PREMIUM)
    due = kept(records.frame, pl.col("rate").is_not_null() & (pl.col("next_ms") > 0), "no_value")
    rows = funding_rows(Records(due, records.rejects), "predicted", from_ms("next_ms").dt.round("1m"), from_ms("at_ms"))
    yield Parsed("funding_rates", rows, records.rejects)


def _one_or_many(page: Page) -> Sequence[Any]:
    """fapi returns one instrument as an object; some dapi endpoints return an array of one."""
    response = page.json()
    return response if isinstance(response, list) else [response]


async def fetch_option_chain(api: Api, job: Job) -> AsyncIterator[Page]:
    """The list of options, open interest by underlying and expiry, mark prices, volumes and index prices."""
    listed = await api.get("/eapi/v1/exchangeInfo", endpoint=EAPI, costs={OPTIONS_WEIGHT: 1})
    yield listed
    series = _series(listed)
    for pair, expiration in series:
        asset = pair.removesuffix("USDT")
        params = {"underlyingAsset": asset, "expiration": expiration}
        yield await api.get("/eapi/v1/openInterest", endpoint=EAPI, params=params, costs={OPTIONS_WEIGHT: 1})
    yield await api.get("/eapi/v1/mark", endpoint=EAPI, costs={OPTIONS_WEIGHT: 5})
    yield await api.get("/eapi/v1/ticker", endpoint=EAPI, costs={OPTIONS_WEIGHT: 40})
    for pair in sorted({pair for pair, _ in series}):
        yield await api.get("/eapi/v1/index", endpoint=EAPI, params={"underlying": pair}, costs={OPTIONS_WEIGHT: 1})


def _series(listed: Page) -> list[tuple[str, str]]:
    """(underlying, expiry as in symbols: 221119) of all listed options."""
    options: Any = at_path("optionSymbols")(listed)
    found: set[tuple[str, str]] = set()
    for option in options:
        try:
            found.add((str(option["underlying"]), str(option["symbol"]).split("-")[1]))
        except (KeyError, IndexError, TypeError):
            continue  # parsing rejects the option
    if options and not found:
        raise SourceFormatError(
            f"{listed.where}: no option has 'underlying' and 'symbol' with an expiry: {listed.excerpt}"
        )
    return sorted(found)


def parse_option_chain(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """All options of the capture, stamped with the time of its last page, so that the chain is one snapshot.

    Amounts are in contracts of `unit` coins. The mark price is in USDT; dividing by the index gives coin. Binance publishes no
    forward per expiry, so underlying_price stays null. An option without open interest is left out: unknown is not zero.
    """
    options = look_up(_of(pages, "exchangeInfo"), at_path("optionSymbols"), OPTIONS)
    interest = read_records(_of(pages, "openInterest"), at_path(), OPTION_OPEN_INTEREST)
    marks = look_up(_of(pages, "mark"), at_path(), MARKS)
    tickers = look_up(_of(pages, "ticker"), at_path(), TICKERS)
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
        # A negative value means none (?).
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
    """Spot index price in dollars by underlying; only the request names the underlying."""
    found = look_up(_of(pages, "index"), lambda page: [page.json()], (Field("indexPrice", "index_price", float),))
    pairs = [str(page.request["params"]["underlying"]) for page in _of(pages, "index")]
    if found.frame.height != len(pairs):
        raise SourceFormatError(
            f"{VENUE_ID}: {found.rejects.height} of {len(pairs)} option index prices are unreadable."
        )
    return found.frame.select(pl.Series("pair", pairs, dtype=pl.String), "index_price")


def _assets(pairs: pl.Series) -> pl.DataFrame:
    names = pairs.unique(maintain_order=True).to_list()
    facts = [parse_symbol(VENUE_ID, name) for name in names]
    return pl.DataFrame(
        {"pair": names, "asset": [fact.asset if fact else None for fact in facts]},
        schema={"pair": pl.String, "asset": pl.String},
    )
