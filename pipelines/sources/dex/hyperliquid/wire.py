"""Hyperliquid's wire format: the info endpoint, its request types and weights. Nothing here depends on a clean table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipelines.core.errors import RequestRefusedError
from pipelines.extract.venue import WHOLE_VENUE, Api, Page
from pipelines.sources.records import RecordsOf, at_path

NAME: Final = "hyperliquid"
WEIGHT: Final = "weight"
HOUR_MS: Final = 3_600_000

root_array: Final[RecordsOf] = at_path()


class UnknownNameError(RequestRefusedError):
    """Hyperliquid does not know the coin, or the exchange, that was asked for."""


def check(page: Page) -> None:
    """Raise for a null response, which means that the coin or exchange does not exist. Other errors have an error status."""
    if page.json() is None:
        raise UnknownNameError(f"{NAME}: {page.where}: {request_type(page)}: null response, unknown coin.")


def request_type(page: Page) -> str:
    """The request type of a page; all requests have the same path."""
    return str(page.request["body"]["type"])


async def info(api: Api, body: Mapping[str, Any], *, subject: str = WHOLE_VENUE, extra: float = 0) -> Page:
    """One response of the info endpoint. A request weighs 20, plus `extra` for the rows it may return."""
    return await api.post("/info", body=body, subject=subject, costs={WEIGHT: 20 + extra})
