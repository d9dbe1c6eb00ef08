"""OKX v5 as a wire: limits, error codes, exclusive bounds, paging, arrays as records. Which data sets there are stands in okx.py.

Facts from OKX's v5 documentation; what was not seen live is marked "?". Nothing here knows a table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Final

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
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
OPEN_INTEREST: Final = "/api/v5/rubik/stat/contracts/open-interest-history"
ACCOUNT_RATIO: Final = "/api/v5/rubik/stat/contracts/long-short-account-ratio"
TAKER_VOLUME: Final = "/api/v5/rubik/stat/taker-volume"
TOP_ACCOUNTS: Final = "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract-top-trader"
TOP_POSITIONS: Final = "/api/v5/rubik/stat/contracts/long-short-position-ratio-contract-top-trader"

REQUESTS_IN_TWO_SECONDS: Final[Mapping[str, int]] = {
    INSTRUMENTS: 20, UNDERLYINGS: 20, FUNDING: 10, LIQUIDATIONS: 40, OPEN_INTEREST_NOW: 20, OPTION_SUMMARY: 20,
    MARK_PRICES: 10, TICKERS: 20, INDEX_TICKERS: 20, CANDLES: 20, SUPPORTED_COINS: 5, FILES: 5, OPEN_INTEREST: 10,
    ACCOUNT_RATIO: 5, TAKER_VOLUME: 5, TOP_ACCOUNTS: 5, TOP_POSITIONS: 5,
}  # fmt: skip
"""Each endpoint has a budget of its own. Some are counted per address and instrument; we count all of them per address."""

FILE_BUDGET: Final = "files"


def budget(path: str) -> str:
    """Name of an endpoint's budget."""
    return path.removeprefix("/api/v5/")


# A whole share: of 5 requests 95% are 4, and the pacer already counts a request longer than OKX can. For files there is no
# published limit; 10 a second is polite.
LIMITS: Final = (
    *(Limit(amount, 2.0, name=budget(path), share=1.0) for path, amount in REQUESTS_IN_TWO_SECONDS.items()),
    Limit(20, 2.0, name=FILE_BUDGET),
)

PERIODS: Final[Mapping[str, tuple[str, int]]] = {"5m": ("5m", 5), "1H": ("1h", 60), "4H": ("4h", 240)}
"""OKX's bar sizes with our names and their minutes. 6H and longer are cut in Hong Kong time unless spelled 6Hutc; the 4 hours of
Hong Kong (UTC+8) are those of UTC."""

records: Final[RecordsOf] = at_path("data")


def check(page: Page) -> None:
    """`code` says what an answer means, whatever its status; it is text, and "0" is success. Files have none."""
    if page.request["endpoint"] == "files":
        return
    answer = page.json()
    code = answer.get("code") if isinstance(answer, dict) else None
    if code == "0":
        return
    said = f"{NAME}: {page.where}: code {code}: {answer.get('msg') if isinstance(answer, dict) else page.excerpt}"
    if code == "50011":  # "Rate limit reached"; windows are of 2 seconds
        raise ThrottledError(said, wait_seconds=2.0)
    if code in ("50001", "50004", "50013", "50026"):  # service unavailable, time-out, busy, system error
        raise VenueUnavailableError(said)
    if code == "51001":
        raise RequestRefusedError(f"{said}. OKX no longer knows this instrument; its past cannot be asked for.")
    raise RequestRefusedError(f"{said}. Compare the request with OKX's documentation.")


async def ask(api: Api, path: str, subject: str = WHOLE_VENUE, **params: str | int) -> Page:
    """One answer, paid from the budget of its endpoint."""
    return await api.get(path, subject=subject, params=params, costs={budget(path): 1.0})


def keyed(*names: str, params: Sequence[str] = ()) -> RecordsOf:
    """OKX's nameless arrays as records: their cells by the names of the documentation, and those `params` of the request
    that say what they are. Further cells stay in the landing; one that is missing is missed by name."""

    def records_of(page: Page) -> Sequence[Record]:
        said = {name: page.request["params"][name] for name in params}
        return [dict(zip(names, cells, strict=False)) | said for cells in records(page)]

    return records_of


def stamps(key: str | int, of: RecordsOf = records) -> Callable[[Page], list[int]]:
    """The stamps of a page's records, in milliseconds. Raises SourceFormatError naming the field where one has none."""
    return stamps_of(of, key)


Get = Callable[[int, int], Awaitable[Page]]


async def paginate_backward(
    get: Get, stamps_of: Callable[[Page], Sequence[int]], *, start: int, end: int, step: int
) -> AsyncIterator[Page]:
    """Pages of rows with stamps in [start, end), one every `step`, newest first, each ending before the oldest row so far.

    Ends where the first possible row is reached or an answer is empty, and not where a page is short: most of OKX's caps
    are unwritten, and a cap below ours would make every page look like the last. Bounds given to `get` are inclusive.
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
                f"{page.where}: rows behind the bounds only; OKX ignores them or its paging changed."
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
    """Rows that tell of instants in (start, end], by the finest period that reaches back to the start.

    How far back each period goes is OKX's to know (5m about 5 days, 1H 60, 4H 240?), so it is asked: where a period does not
    hold the whole span, the next coarser one is brought as well, and the rows say which they are. `lag` is by how many
    periods a stamp is behind its instant: 0 for states, 1 for flows that are stamped with the start of their period.
    """
    for period in periods:
        step = PERIODS[period][1] * 60_000
        shift = lag * step
        oldest = end + 1

        async def bounded(first: int, last: int, period: str = period) -> Page:
            return await get(period, first, last)

        async for page in paginate_backward(
            bounded, stamps_of, start=start - shift + 1, end=end - shift + 1, step=step
        ):
            oldest = min([oldest, *stamps_of(page)])
            yield page
        if oldest <= start - shift + step:
            return


def kinds(pages: Sequence[Page], *paths: str) -> list[list[Page]]:
    """The pages of each of `paths`, in their order: a landing may hold the answers of several endpoints."""
    return [[page for page in pages if page.request["path"] == path] for path in paths]
