"""Deribit v2 as a wire: hosts, limits, error codes, names. Which data sets are read stands in deribit.py.

Facts from Deribit's documentation; what was not seen live is marked "?". Nothing here knows a table.
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
"""`history` answers about all trades since 2018, `api` about the last days only."""

INSTRUMENTS: Final = f"{ROOT}/get_instruments"
BOOK_SUMMARY: Final = f"{ROOT}/get_book_summary_by_currency"
INDEX_PRICE: Final = f"{ROOT}/get_index_price"
VOLATILITY_INDEX: Final = f"{ROOT}/get_volatility_index_data"
FUNDING: Final = f"{ROOT}/get_funding_rate_history"
CHART: Final = f"{ROOT}/get_tradingview_chart_data"
TRADES: Final = f"{ROOT}/get_last_trades_by_currency_and_time"

CURRENCIES: Final = ("BTC", "ETH", "USDC")
"""What instruments are listed under: bitcoin and ether are inverse, everything margined in USDC is linear."""

# A request costs 500 credits of a bucket that refills by 10,000 a second: 20 requests. The list of instruments costs 10,000 (?).
LIST_COST: Final = "instrument_lists"
LIMITS: Final = (Limit(20, 1.0), Limit(10, 10.0, name=LIST_COST))

PERPETUAL: Final = "-PERPETUAL"
HOUR_MS: Final = 3_600_000

results: Final[RecordsOf] = at_path("result")


def check(page: Page) -> None:
    """Errors are objects with a code, sent with status 400 and by some gateways with 200."""
    answer = page.json()
    error = answer.get("error") if isinstance(answer, dict) else None
    if error is None:
        return
    code = error.get("code") if isinstance(error, dict) else None
    said = f"{NAME}: {page.where}: error {code}: {error.get('message') if isinstance(error, dict) else error}"
    if code == 10028:  # too_many_requests; a second refills the bucket by 20 requests
        raise ThrottledError(said, wait_seconds=1.0)
    # retry, settlement_in_progress, queue full, not_on_this_server, too many at once, system_maintenance, internal, unavailable
    if code in (10040, 10041, 10047, 10048, 10066, 11051, 11094, 13503):
        raise VenueUnavailableError(said)
    raise RequestRefusedError(f"{said}. Compare the request with Deribit's documentation: {page.excerpt}")


async def ask(api: Api, path: str, subject: str = WHOLE_VENUE, *, endpoint: str = "api", **params: str | int) -> Page:
    """One answer; lists of instruments are paid from their own budget as well."""
    costs = {REQUESTS: 1.0} | ({LIST_COST: 1.0} if path == INSTRUMENTS else {})
    return await api.get(path, subject=subject, endpoint=endpoint, params=params, costs=costs)


def kinds(pages: Sequence[Page], *paths: str) -> list[list[Page]]:
    """The pages of each of `paths`, in their order: a landing may hold the answers of several endpoints."""
    return [[page for page in pages if page.request["path"] == path] for path in paths]


def result(page: Page, *names: str) -> Mapping[str, Any]:
    """The object an answer is, which must have the fields `names`."""
    answer = page.json()
    found = answer.get("result") if isinstance(answer, dict) else None
    missing = [name for name in names if not isinstance(found, dict) or name not in found]
    if missing or not isinstance(found, dict):
        raise SourceFormatError(f"{page.where}: no {', '.join(missing) or 'object'} in the result: {page.excerpt}")
    return found


def stamps_of(page: Page, rows: Sequence[Any], key: str) -> list[int]:
    """The stamps of a page's rows, in milliseconds. Raises SourceFormatError naming the field where one has none."""
    try:
        return [int(row[key]) for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: a row has no stamp in {key!r}: {page.excerpt}") from error
