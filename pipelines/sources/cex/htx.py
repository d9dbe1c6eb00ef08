"""HTX: perpetuals in USDT and in coin, open interest of the newest 200 hours, funding, candles, liquidations, elite ratios.

Facts from HTX's documentation of linear and coin-margined swaps and from public collectors; anything not verified live is marked
"?". What HTX counts on both sides of a trade (open interest, volumes) is halved.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import (
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.paging import paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
    Api,
    Capture,
    Context,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.asset_class import with_asset_class
from pipelines.sources.cex import perpetuals
from pipelines.sources.cex.htx_stream import STREAM
from pipelines.sources.cex.perpetuals import HOUR, HOUR_MS, IS_INVERSE
from pipelines.sources.counting import FACTS, without_sentinels
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    at_path,
    from_ms,
    from_seconds,
    having,
    kept,
    read_records,
    rejected,
    stamps_of,
    within,
)

NAME: Final = "htx"
PRODUCTS: Final = {"linear": "/linear-swap", "inverse": "/swap"}
"""Beginning of the paths of each kind: /linear-swap-api for contracts in USDT, /swap-api for those in coin."""

INSTRUMENTS: Final = (
    Field("contract_code", "instrument", str),
    Field("contract_size", "size", float),
    Field("create_date", "created", str, optional=True),
    Field("contract_status", "status", int),
    Field("classes", "stated", str, optional=True),
)
INTEREST: Final = (
    Field("ts", "at_ms", int),
    Field("volume", "held", float),
    Field("value", "value", float, optional=True),
)
FUNDING: Final = (Field("funding_time", "at_ms", int), Field("funding_rate", "rate", float))
CANDLES: Final = (
    Field("id", "at_s", int),
    *(Field(name, name, float) for name in ("open", "high", "low", "close")),
    Field("amount", "coins", float),
    Field("vol", "contracts", float),
    # Absent from contracts in coin.
    Field("trade_turnover", "turnover", float, optional=True),
)
LIQUIDATIONS: Final = (
    Field("query_id", "number", str),
    Field("contract_code", "instrument", str),
    Field("created_at", "at_ms", int),
    Field("direction", "direction", str),
    Field("volume", "contracts", float),
    Field("price", "price", float),
    Field("trade_turnover", "turnover", float, optional=True),
)
RATIOS: Final = (Field("ts", "at_ms", int), Field("buy_ratio", "long", float), Field("sell_ratio", "short", float))

LABELS: Final = (
    ("metals", "commodity"), ("commodities", "commodity"), ("indices", "index"), ("index", "index"), ("stocks", "stock"),
    ("stock", "stock"), ("forex", "forex"),
)  # fmt: skip
"""Labels in lower case and their asset classes. tradfi_labels come first, then labels, which have what the former lack."""

INTEREST_POINTS: Final = 200
FUNDING_LIMIT: Final = 100
CANDLES_LIMIT: Final = 2000
CANDLES_WIDTH_S: Final = 1800 * 3600
LIQUIDATIONS_WIDTH_MS: Final = 2 * HOUR_MS
LIQUIDATIONS_LIMIT: Final = 50
"""Rows of a full page (?). A page below it is not taken as whole."""
LIQUIDATIONS_KEPT: Final = timedelta(days=90)
LISTED: Final = 1
"""contract_status of what is traded; suspended contracts (3) go on answering with their last open interest."""
MARKET_DATA: Final = "market_data"

data = at_path("data")
ticks = at_path("data", "tick")
settled = at_path("data", "data")
ratios = at_path("data", "list")


def check(page: Page) -> None:
    """Raise for an error; HTX sends them with status 200. v1 answers have a status, v3 answers a code of 200."""
    response = page.json()
    told = response if isinstance(response, dict) else {}
    if told.get("status") == "ok" or told.get("code") == 200:
        return
    code = str(told.get("err_code") or told.get("err-code") or told.get("code"))
    message = (
        f"{NAME}: {page.where}: {code}: {told.get('err_msg') or told.get('err-msg') or told.get('msg') or page.excerpt}"
    )
    if code in ("1032", "429"):  # the number of requests exceeds the limit
        raise ThrottledError(message, wait_seconds=3.0)
    if code in ("1000", "1001", "1004", "1016", "4004"):  # system abnormal, not ready, busy, in maintenance
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with HTX's documentation.")


def prefix(job: Job) -> str:
    return PRODUCTS[str(job.instrument["contract_type"])]


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts of both kinds, one response each."""
    yield await api.get("/linear-swap-api/v1/swap_contract_info", params={"business_type": "all"})
    yield await api.get("/swap-api/v1/swap_contract_info")


def labeled(page: Page) -> Sequence[Record]:
    """Contracts with the class that their labels say: the first that is known, of tradfi_labels before labels; coins have none."""

    def class_of(record: Any) -> str | None:
        labels = [str(label).lower() for key in ("tradfi_labels", "labels") for label in (record.get(key) or ())]
        return next((known for label, known in LABELS if label in labels), "other" if "tradfi" in labels else "crypto")

    return [
        {**record, "classes": class_of(record)} if isinstance(record, dict) and "labels" in record else record
        for record in data(page)
    ]


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Swaps that are traded now; contract_size is coin per contract, of contracts in coin dollars. An ETF that is labeled
    as share and index is an index."""
    found = read_records(pages, labeled, INSTRUMENTS, needed=having("contract_code", r"^[^-]+-[A-Z]+$"))
    traded = kept(found.frame, pl.col("status") == LISTED, "delisted")
    frame = with_asset_class(perpetuals.named(NAME, traded), pl.col("stated"))
    yield perpetuals.instruments(
        NAME,
        frame,
        found.rejects,
        size=pl.col("size"),
        listed_at=pl.col("created").str.to_datetime("%Y%m%d", time_unit="us", strict=False),
        delisted_at=pl.lit(None, pl.Datetime("us")),
    )


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The newest 200 hours in one response; the endpoint takes no times. Raises NoLongerAvailableError for a span that begins
    before them."""
    page = await api.get(
        f"{prefix(job)}-api/v1/swap_his_open_interest",
        subject=job.subject,
        params={
            "contract_code": job.subject, "contract_type": "swap", "period": "60min", "size": INTEREST_POINTS,
            "amount_type": 2 if prefix(job) == PRODUCTS["linear"] else 1,
        },
    )  # fmt: skip
    if not ticks(page):
        raise SourceFormatError(f"{page.where}: no hour in the open interest of a listed contract: {page.excerpt}")
    perpetuals.check_kept(NAME, job, [page], stamps_of(ticks, "ts"), what="open interest", slack=HOUR)
    yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Both sides are counted, and halved here. Contracts in USDT are asked for in coin and have a value in USDT; contracts in coin
    are asked for in contracts of some dollars. A state belongs to the day it ends."""
    found = read_records(pages, ticks, INTEREST)
    frame = perpetuals.with_contracts(found.frame, context).with_columns(from_ms("at_ms").alias("at"))
    known, unknown = perpetuals.unlisted(
        NAME, within(frame, "at", context, closed="right", answers="history"), stamp="at"
    )
    states, sentinels = without_sentinels(known, ("held",), ("value",), stamp="at")
    rows = perpetuals.open_interest(
        NAME, states, instrument=SUBJECT, period=pl.lit("1h"), at=pl.col("at"), raw=pl.col("held"),
        unit=pl.when(IS_INVERSE).then(pl.lit("contracts")).otherwise(pl.lit("base")),
        base=pl.when(~IS_INVERSE).then("held"),
        usd=pl.when(IS_INVERSE).then(pl.col("held") * pl.col("contract_size")).otherwise("value"),
    )  # fmt: skip
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown, sentinels]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements in numbered pages, newest first, back to the listing. total_page is not read."""

    async def numbered(number: int) -> Page:
        return await api.get(
            f"{prefix(job)}-api/v1/swap_historical_funding_rate",
            subject=job.subject,
            params={"contract_code": job.subject, "page_index": number, "page_size": FUNDING_LIMIT},
        )

    async for page in perpetuals.kept_history(NAME, job, numbered, stamps_of(settled, "funding_time"), what="funding"):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates; realized_rate is empty since 2026, and the interval is inferred."""
    yield perpetuals.settlements(NAME, read_records(pages, settled, FUNDING), context, from_ms("at_ms"))


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles between inclusive bounds in seconds, in windows below the limit."""

    async def window(first: int, last: int) -> Page:
        return await api.get(
            f"{prefix(job)}-ex/market/history/kline",
            subject=job.subject,
            params={"contract_code": job.subject, "period": "60min", "from": first, "to": last},
            costs={"requests": 0.0, MARKET_DATA: 1.0},
        )

    async for page in paginate_by_slices(
        window, stamps_of(data, "id"), start=job.span.start_ms // 1000, end=job.span.end_ms // 1000, limit=CANDLES_LIMIT,
        width=CANDLES_WIDTH_S, spacing=3600,
    ):  # fmt: skip
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Amounts are the sum of both sides by HTX's documentation and are halved; turnover over amount is the price, so turnover is
    counted like them."""
    found = read_records(pages, data, CANDLES)
    yield perpetuals.hourly_candles(
        NAME, found, context, from_seconds("at_s"), base=pl.col("coins") / 2,
        quote=pl.when(IS_INVERSE).then(pl.col("contracts") * pl.col("contract_size")).otherwise("turnover") / 2,
    )  # fmt: skip


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidation orders of a contract in windows of two hours, which are halved where a page is full.

    What HTX answers about days it no longer keeps is undocumented; nothing at all about a span that begins before them says that
    they are gone.
    """

    async def window(first: int, last: int) -> Page:
        return await api.get(
            f"{prefix(job)}-api/v3/swap_liquidation_orders",
            subject=job.subject,
            params={
                "contract": job.subject, "trade_type": 0, "start_time": first, "end_time": last, "direct": "next",
            },
        )  # fmt: skip

    stamps = stamps_of(data, "created_at")
    pages = [
        page
        async for page in paginate_by_slices(
            window, stamps, start=job.span.start_ms, end=job.span.end_ms, limit=LIQUIDATIONS_LIMIT,
            width=LIQUIDATIONS_WIDTH_MS,
        )
    ]  # fmt: skip
    if job.span.start < pages[-1].received_at - LIQUIDATIONS_KEPT and not any(stamps(page) for page in pages):
        raise NoLongerAvailableError(
            f"{NAME}: {pages[-1].where}: no liquidation; HTX keeps {LIQUIDATIONS_KEPT.days} days."
        )
    for page in pages:
        yield page


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """`direction` is the side of the closing order: a sale closes a long. The price is that of bankruptcy. The amount is worked out
    from the turnover, of contracts in coin from the contracts: the published amount repeats the contracts in one of HTX's
    examples."""
    found = read_records(pages, data, LIQUIDATIONS)
    frame = perpetuals.with_contracts(found.frame, context, "instrument").with_columns(
        from_ms("at_ms").alias("occurred_at")
    )
    known, unknown = perpetuals.unlisted(
        NAME, within(frame, "occurred_at", context), stamp="occurred_at", instrument="instrument"
    )
    in_dollars = pl.col("contracts") * pl.col("contract_size")
    known = known.with_columns(
        pl.when(IS_INVERSE).then(in_dollars).otherwise(
            pl.coalesce("turnover", in_dollars * pl.col("price"))
        ).alias("notional"),
        pl.col("direction").replace_strict({"sell": "long", "buy": "short"}, default=None, return_dtype=pl.String).alias("side"),
    )  # fmt: skip
    told = pl.col("side").is_not_null() & (pl.col("notional") > 0) & (pl.col("price") > 0)
    rows = known.filter(told).select(
        pl.lit(NAME).alias("venue"),
        # Whether a query_id is one contract's or the venue's is not said.
        pl.concat_str("instrument", "number", separator=":").alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        "occurred_at",
        "side",
        "price",
        (pl.col("notional") / pl.col("price")).alias("quantity_base"),
        pl.col("notional").alias("notional_usd"),
        # No document says that the list is whole.
        pl.lit("throttled").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("occurred_at").alias("available_at"),
        LINE,
    )
    undecodable = rejected(
        known.filter(~told.fill_null(value=False)), reason="undecodable", stamp="occurred_at", field="direction",
        instrument="instrument", detail="neither buy nor sell, or without an amount",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, unknown, undecodable]))


MEASURES: Final = {"swap_elite_account_ratio": "account_top", "swap_elite_position_ratio": "position_top"}


async def fetch_ratios(api: Api, job: Job) -> AsyncIterator[Page]:
    """The newest hours of both ratios of the largest traders; the endpoints take no times."""
    for path in MEASURES:
        page = await api.get(
            f"{prefix(job)}-api/v1/{path}",
            subject=job.subject,
            params={"contract_code": job.subject, "period": "60min"},
        )
        if not ratios(page):
            raise SourceFormatError(f"{page.where}: no hour in a ratio of a listed contract: {page.excerpt}")
        yield page


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Shares of accounts and of positions; accounts that are locked (long and short alike) are in neither."""
    for path, measure in MEASURES.items():
        found = read_records([page for page in pages if page.request["path"].endswith(path)], ratios, RATIOS)
        total = pl.col("long") + pl.col("short")
        frame = found.frame.with_columns(from_ms("at_ms").alias("event_at"))
        rows = frame.filter(total > 0).select(
            pl.lit(NAME).alias("venue"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit(measure).alias("measure"),
            pl.lit("1h").alias("period"),
            "event_at",
            pl.when(pl.col("short") > 0).then(pl.col("long") / pl.col("short")).alias("ratio"),
            (pl.col("long") / total).alias("long_share"),
            pl.col("event_at").alias("available_at"),
            LINE,
        )
        nobody = rejected(frame.filter(total <= 0), reason="sentinel", detail="nobody on either side", stamp="event_at")
        yield Parsed("long_short_ratios", rows, pl.concat([found.rejects, nobody]))


OPENED: Final = date(2020, 10, 21)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.hbdm.com"},
    limits=(Limit(240, 3.0), Limit(800, 1.0, name=MARKET_DATA)),
    concurrency=8,
    check=check,
    # The server clock at the end of an answer; rows have a key of the same name.
    ignored_in_digest=re.compile(rb',"ts":"?\d+"?(?=\}\s*$)'),
    notes="Open interest and volumes count both sides by HTX's documentation and are halved. Dated futures are not read.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Swaps in USDT and in coin with their asset class.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of every hour; the venue has the newest 200 hours.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=OPENED, days=8),
            partitioning=Partitioning(most_days=ALL_DAYS),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
            counting=FACTS[NAME],
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates since listing.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(most_days=ALL_DAYS),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles, volumes halved; history depth unverified.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Liquidation orders of every contract, kept for 90 days.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=OPENED, days=89),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
            completeness="throttled",
        ),
        Feed(
            name="elite_ratios",
            tables=("long_short_ratios",),
            description="Ratios of accounts and positions of the largest traders, the newest hours, captured every hour.",
            fetch=fetch_ratios,
            parse=parse_ratios,
            retention=Retention(since=OPENED),
            cadence=Capture(),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
    ),
    streams=(STREAM,),
)
