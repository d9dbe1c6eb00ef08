"""Deribit v2's wire format: hosts, rate limits, error codes, endpoints. Nothing here depends on a clean table.

Facts from Deribit's documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.rate_limits import REQUESTS, Limit
from pipelines.extract.venue import WHOLE_VENUE, Api, Page
from pipelines.sources.records import RecordsOf, at_path

NAME: Final = "deribit"
ROOT: Final = "/api/v2/public"

ENDPOINTS: Final = {"api": "https://www.deribit.com", "history": "https://history.deribit.com"}
"""`history` has all trades since 2018, `api` only those of the last days."""

INSTRUMENTS: Final = f"{ROOT}/get_instruments"
BOOK_SUMMARY: Final = f"{ROOT}/get_book_summary_by_currency"
INDEX_PRICE: Final = f"{ROOT}/get_index_price"
VOLATILITY_INDEX: Final = f"{ROOT}/get_volatility_index_data"
FUNDING: Final = f"{ROOT}/get_funding_rate_history"
CHART: Final = f"{ROOT}/get_tradingview_chart_data"
TRADES: Final = f"{ROOT}/get_last_trades_by_currency_and_time"

CURRENCIES: Final = ("BTC", "ETH", "USDC")
"""Currencies that instruments are listed under: BTC and ETH are inverse, everything margined in USDC is linear."""

# A request costs 500 credits of a bucket that refills at 10,000 credits per second, i.e. 20 requests per second. The instrument
# list costs 10,000 (?).
LIST_COST: Final = "instrument_lists"
LIMITS: Final = (Limit(20, 1.0), Limit(10, 10.0, name=LIST_COST))

PERPETUAL: Final = "-PERPETUAL"
HOUR_MS: Final = 3_600_000

results: Final[RecordsOf] = at_path("result")


def check(page: Page) -> None:
    """Raise for an error object, sent with status 400 and by some gateways with 200."""
    response = page.json()
    error = response.get("error") if isinstance(response, dict) else None
    if error is None:
        return
    code = error.get("code") if isinstance(error, dict) else None
    message = f"{NAME}: {page.where}: error {code}: {error.get('message') if isinstance(error, dict) else error}"
    if code == 10028:  # too_many_requests; the bucket refills by 20 requests per second
        raise ThrottledError(message, wait_seconds=1.0)
    # retry, settlement_in_progress, queue full, not_on_this_server, too many at once, system_maintenance, internal, unavailable
    if code in (10040, 10041, 10047, 10048, 10066, 11051, 11094, 13503):
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Deribit's documentation: {page.excerpt}")


async def get(api: Api, path: str, subject: str = WHOLE_VENUE, *, endpoint: str = "api", **params: str | int) -> Page:
    """One response; instrument lists also count against a budget of their own."""
    costs = {REQUESTS: 1.0} | ({LIST_COST: 1.0} if path == INSTRUMENTS else {})
    return await api.get(path, subject=subject, endpoint=endpoint, params=params, costs=costs)


def by_path(pages: Sequence[Page], *paths: str) -> list[list[Page]]:
    """The pages of each of `paths`, in page order: a landing may hold responses of several endpoints."""
    return [[page for page in pages if page.request["path"] == path] for path in paths]


def result(page: Page, *names: str) -> Mapping[str, Any]:
    """The `result` object of a response, which must have the fields `names`."""
    response = page.json()
    found = response.get("result") if isinstance(response, dict) else None
    if not isinstance(found, dict):
        raise SourceFormatError(f"{page.where}: expected an object in 'result': {page.excerpt}")
    if missing := [name for name in names if name not in found]:
        raise SourceFormatError(f"{page.where}: missing {', '.join(map(repr, missing))} in 'result': {page.excerpt}")
    return found


def stamps_of(page: Page, rows: Sequence[Any], key: str) -> list[int]:
    """The timestamps of a page's rows, in milliseconds. Raises SourceFormatError naming the field if one is missing."""
    try:
        return [int(row[key]) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: expected an integer in {key!r} of every row: {page.excerpt}") from error
