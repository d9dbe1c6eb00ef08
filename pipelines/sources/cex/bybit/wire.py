"""Bybit v5's wire format: error codes and how requests name an instrument. Nothing here depends on a clean table."""

from __future__ import annotations

from typing import Final

from pipelines.core.errors import RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.extract.venue import Job, Page
from pipelines.sources.records import RecordsOf, at_path

NAME: Final = "bybit"

result_list: Final[RecordsOf] = at_path("result", "list")


def check(page: Page) -> None:
    """Raise for an error code. Bybit sends nearly every response with status 200; retCode is the error code."""
    response = page.json()
    code = response.get("retCode")
    if code == 0:
        return
    message = f"{NAME}: {page.where}: retCode {code}: {response.get('retMsg')}"
    if code == 10006:  # "Too many visits": the limit resets every 5 seconds
        raise ThrottledError(message, wait_seconds=5.0)
    if code in (10000, 10016, 10018):  # server timeout, internal error, IP-level overload
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Bybit's documentation.")


def category(job: Job) -> str:
    """`linear`, `inverse` or `spot`, which every request must state."""
    return str(job.instrument["contract_type"])


def symbol(job: Job) -> str:
    """Bybit's symbol: BTCUSDT both for the spot pair BTC/USDT and for its perpetual."""
    return job.subject.replace("/", "")
