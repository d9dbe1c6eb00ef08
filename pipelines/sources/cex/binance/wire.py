"""Binance's wire format, shared with binance_archive: endpoints, request budgets, error codes, contract sizes, delivery dates
and instrument classes.

Mapping symbols to assets is in pipelines.core.universe.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import NoLongerAvailableError, RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.core.universe import InstrumentFacts
from pipelines.extract.venue import Api, Fetch, Job, Page
from pipelines.sources.instruments import each_instrument

VENUE_ID: Final = "binance"
"""The venue in clean rows, from binance and from binance_archive."""

UM: Final = "fapi"
CM: Final = "dapi"
CASH: Final = "spot"
EAPI: Final = "eapi"

WEIGHT: Final = "weight"
DATA: Final = "futures data requests"
FUNDING_REQUESTS: Final = "funding requests"
OPTIONS_WEIGHT: Final = "options weight"

SPOT_QUOTES: Final = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
"""Supported quote currencies of spot pairs; pairs in others (BIDR, UAH and the like) are skipped."""

STABLE_QUOTES: Final = ("USDT", "USDC", "FDUSD", "BUSD")

IS_USDT_M: Final = (pl.col("contract_type") == "linear") & ~pl.col("instrument").str.contains("_", literal=True)
"""USDT-margined perpetuals; symbols of dated contracts end with an underscore and the delivery date."""

IS_COIN_M: Final = (pl.col("contract_type") == "inverse") & pl.col("instrument").str.ends_with("_PERP")
"""Coin-margined perpetuals."""

IS_PERPETUAL: Final = IS_USDT_M | IS_COIN_M
IS_SPOT: Final = (pl.col("contract_type") == "spot") & pl.col("quote").is_in(STABLE_QUOTES)

_DELIVERY: Final = re.compile(r"_(\d{6})$")

Subjects = Callable[[pl.DataFrame], Mapping[str, Mapping[str, Any]]]

usdt_m: Final[Subjects] = each_instrument(IS_USDT_M)
coin_m: Final[Subjects] = each_instrument(IS_COIN_M)
perpetuals: Final[Subjects] = each_instrument(IS_PERPETUAL)
spot_pairs: Final[Subjects] = each_instrument(IS_SPOT)


def contract_size(facts: InstrumentFacts) -> float | None:
    """Dollars per COIN-M contract: 100 for bitcoin, 10 for all others, since launch. None for other contract types."""
    if facts.contract_type != "inverse":
        return None
    return 100.0 if facts.asset == "BTC" else 10.0


def delivery(instrument: str) -> datetime | None:
    """Delivery time of a dated future: BTCUSDT_240628 at 08:00 UTC on 2024-06-28. None for perpetuals and malformed names."""
    found = _DELIVERY.search(instrument)
    try:
        return datetime.strptime(found[1], "%y%m%d") + timedelta(hours=8) if found else None  # noqa: DTZ007 - naive UTC
    except ValueError:
        return None


def sizes(instruments: pl.DataFrame, *, subject: str) -> pl.DataFrame:
    """Contract sizes keyed by column `subject`, for joining to records."""
    return instruments.select(pl.col("instrument").alias(subject), "contract_size")


def check(page: Page) -> None:
    """Raise for an error sent with status 200, by its code. Errors normally have status 400, 418, 429 or 5xx."""
    if not page.body.lstrip().startswith(b'{"code"'):
        return
    response = page.json()
    code = response.get("code")
    if not isinstance(code, int) or code >= 0:
        return
    message = f"{VENUE_ID}: {page.where}: code {code}: {response.get('msg')}"
    if code in (-1003, -1015):  # too many requests, too many orders
        raise ThrottledError(message)
    if code in (
        -1000,
        -1001,
        -1006,
        -1007,
        -1008,
        -1016,
    ):  # unknown, disconnected, unexpected, timeout, overloaded, down
        raise VenueUnavailableError(message)
    if code == -1130 and "startTime" in str(response.get("msg")):
        raise NoLongerAvailableError(f"{message}. Binance keeps 30 days only.")
    raise RequestRefusedError(f"{message}. Compare the request with Binance's documentation.")


class _NoLongerListedError(Exception):
    """Binance no longer lists this symbol."""


async def get_for_instrument(
    api: Api, path: str, *, endpoint: str, subject: str, params: Mapping[str, str | int], costs: Mapping[str, float]
) -> Page:
    """One response about an instrument. A refusal has status 400 and a code; code -1121 means the symbol is not listed."""
    page = await api.get(path, endpoint=endpoint, subject=subject, params=params, costs=costs, accept=(200, 400))
    if page.status == 200:
        return page
    if page.body.startswith(b"{"):
        if page.json().get("code") == -1121:
            raise _NoLongerListedError(subject)
        check(page)
    raise RequestRefusedError(
        f"{VENUE_ID}: {page.where}: status 400: {page.excerpt}. The request or the venue's rules changed."
    )


def while_listed(fetch: Fetch) -> Fetch:
    """`fetch`, ending without an error once the venue no longer lists the instrument of an earlier capture."""

    async def fetch_while_listed(api: Api, job: Job) -> AsyncIterator[Page]:
        try:
            async for page in fetch(api, job):
                yield page
        except _NoLongerListedError:
            return

    return fetch_while_listed


def host(job: Job) -> str:
    """The endpoint of a job's instrument."""
    return {"linear": UM, "inverse": CM, "spot": CASH}[str(job.instrument["contract_type"])]
