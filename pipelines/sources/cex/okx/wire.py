"""OKX v5's wire format: endpoints, rate limits, error codes, paging, and arrays as records. Nothing here depends on a clean table.

Facts from OKX's v5 documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from pipelines.core.errors import (
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import WHOLE_VENUE, Api, Page
from pipelines.sources.records import Record, RecordsOf, at_path, stamps_of

NAME: Final = "okx"

INSTRUMENTS: Final = "/api/v5/public/instruments"
UNDERLYINGS: Final = "/api/v5/public/underlying"
FUNDING: Final = "/api/v5/public/funding-rate-history"
LIQUIDATIONS: Final = "/api/v5/public/liquidation-orders"
OPEN_INTEREST_NOW: Final = "/api/v5/public/open-interest"
OPTION_SUMMARY: Final = "/api/v5/public/opt-summary"
MARK_PRICES: Final = "/api/v5/public/mark-price"
TICKERS: Final = "/api/v5/market/tickers"
INDEX_TICKERS: Final = "/api/v5/market/index-tickers"
CANDLES: Final = "/api/v5/market/history-candles"
SUPPORTED_COINS: Final = "/api/v5/rubik/stat/trading-data/support-coin"
FILES: Final = "/api/v5/public/market-data-history"
POSITION_TIERS: Final = "/api/v5/public/position-tiers"
OPEN_INTEREST: Final = "/api/v5/rubik/stat/contracts/open-interest-history"
ACCOUNT_RATIO: Final = "/api/v5/rubik/stat/contracts/long-short-account-ratio"
TAKER_VOLUME: Final = "/api/v5/rubik/stat/taker-volume"
TOP_ACCOUNTS: Final = "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract-top-trader"
TOP_POSITIONS: Final = "/api/v5/rubik/stat/contracts/long-short-position-ratio-contract-top-trader"

REQUESTS_IN_TWO_SECONDS: Final[Mapping[str, int]] = {
    INSTRUMENTS: 20, UNDERLYINGS: 20, FUNDING: 10, LIQUIDATIONS: 40, OPEN_INTEREST_NOW: 20, OPTION_SUMMARY: 20,
    MARK_PRICES: 10, TICKERS: 20, INDEX_TICKERS: 20, CANDLES: 20, SUPPORTED_COINS: 5, FILES: 5, OPEN_INTEREST: 10,
    ACCOUNT_RATIO: 5, TAKER_VOLUME: 5, TOP_ACCOUNTS: 5, TOP_POSITIONS: 5, POSITION_TIERS: 10,
}  # fmt: skip
"""Each endpoint has its own budget. OKX counts some per address and instrument; all are counted per address here."""

FILE_BUDGET: Final = "files"


def budget(path: str) -> str:
    """Name of an endpoint's budget."""
    return path.removeprefix("/api/v5/")


# share=1.0, since 95% of 5 requests would be only 4, and the rate limiter's window is already stricter than OKX's. Files have no
# published limit; 10 per second is our choice.
LIMITS: Final = (
    *(Limit(amount, 2.0, name=budget(path), share=1.0) for path, amount in REQUESTS_IN_TWO_SECONDS.items()),
    Limit(20, 2.0, name=FILE_BUDGET),
)

PERIODS: Final[Mapping[str, tuple[str, int]]] = {"5m": ("5m", 5), "1H": ("1h", 60), "4H": ("4h", 240)}
"""OKX's bar sizes with our period names and their minutes. Bars of 6H and longer start on Hong Kong time (UTC+8) unless requested
as 6Hutc; 4-hour bars coincide in both time zones."""

records: Final[RecordsOf] = at_path("data")


def check(page: Page) -> None:
    """Raise for an error code, whatever the status. `code` is a string; "0" is success. Files have no code."""
    if page.request["endpoint"] == "files":
        return
    response = page.json()
    code = response.get("code") if isinstance(response, dict) else None
    if code == "0":
        return
    message = (
        f"{NAME}: {page.where}: code {code}: {response.get('msg') if isinstance(response, dict) else page.excerpt}"
    )
    if code == "50011":  # "Rate limit reached"; windows are 2 seconds long
        raise ThrottledError(message, wait_seconds=2.0)
    if code in ("50001", "50004", "50013", "50026"):  # service unavailable, timeout, busy, system error
        raise VenueUnavailableError(message)
    if code == "50030":  # "Illegal time range"
        raise NoLongerAvailableError(f"{message}. OKX does not keep this past any more at this period.")
    if code == "51001":
        raise RequestRefusedError(f"{message}. OKX no longer lists this instrument; its history cannot be fetched.")
    raise RequestRefusedError(f"{message}. Compare the request with OKX's documentation.")


async def get(api: Api, path: str, subject: str = WHOLE_VENUE, **params: str | int) -> Page:
    """One response, counted against the budget of its endpoint."""
    return await api.get(path, subject=subject, params=params, costs={budget(path): 1.0})


def keyed(*names: str, params: Sequence[str] = ()) -> RecordsOf:
    """OKX's arrays as records: cells keyed by the documented names, plus the given request `params`. Extra cells stay in the
    landing; a missing cell is reported by name."""

    def records_of(page: Page) -> Sequence[Record]:
        requested = {name: page.request["params"][name] for name in params}
        return [dict(zip(names, cells, strict=False)) | requested for cells in records(page)]

    return records_of


def stamps(key: str | int, of: RecordsOf = records) -> Callable[[Page], list[int]]:
    """Reads the timestamps of a page's records, in milliseconds. Raises SourceFormatError naming the field if one is missing."""
    return stamps_of(of, key)


Get = Callable[[int, int], Awaitable[Page]]


async def paginate_backward(
    get: Get, stamps_of: Callable[[Page], Sequence[int]], *, start: int, end: int, step: int
) -> AsyncIterator[Page]:
    """Pages of rows with timestamps in [start, end), one every `step`, newest first; each ends before the oldest row so far.

    Stops at the first possible row or at an empty response, not at a short page: most of OKX's row limits are undocumented, and
    a limit below ours would make every page look like the last. Bounds passed to `get` are inclusive.
    """
    last = end - 1
    while last >= start:
        page = await get(start, last)
        seen = stamps_of(page)
        yield page
        if not seen:
            return
        if min(seen) > last:
            raise SourceFormatError(
                f"{page.where}: all rows are outside the bounds; OKX ignores the bounds or its paging changed."
            )
        last = min(seen) - 1
        if last < start + step - 1:
            return


async def finest_available_interval(
    get: Callable[[str, int, int], Awaitable[Page]],
    stamps_of: Callable[[Page], Sequence[int]],
    *,
    start: int,
    end: int,
    periods: Sequence[str],
    lag: int = 0,
) -> AsyncIterator[Page]:
    """Rows for instants in (start, end], at the finest period that goes back to `start`.

    How far back a period goes is not certain (5m about 5 days, 1H 60, 4H 240?), so it is probed: if a period does not cover the
    whole span, the next coarser one is fetched too; every row states its period. `lag` is how many periods a timestamp precedes
    its instant: 0 for states, 1 for flows stamped with the start of their period. A period that OKX refuses as too old has no rows;
    raises NoLongerAvailableError if it refuses all.
    """
    refused: list[NoLongerAvailableError] = []
    for period in periods:
        step = PERIODS[period][1] * 60_000
        shift = lag * step
        oldest = end + 1

        async def bounded(first: int, last: int, period: str = period) -> Page:
            return await get(period, first, last)

        try:
            async for page in paginate_backward(
                bounded, stamps_of, start=start - shift + 1, end=end - shift + 1, step=step
            ):
                oldest = min([oldest, *stamps_of(page)])
                yield page
        except NoLongerAvailableError as error:
            refused.append(error)
            continue
        if oldest <= start - shift + step:
            return
    if len(refused) == len(periods):
        raise refused[-1]


def by_path(pages: Sequence[Page], *paths: str) -> list[list[Page]]:
    """The pages of each of `paths`, in page order: a landing may hold responses of several endpoints."""
    return [[page for page in pages if page.request["path"] == path] for path in paths]
