"""Opens the client of a venue as the settings say."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock
from pipelines.extract.venue import Venue

if TYPE_CHECKING:
    from pipelines.extract.client import HttpApi, RetryPolicy


def open_venue(
    settings: Settings, venue: Venue, *, retry: RetryPolicy | None, clock: Clock, **more: Any
) -> AbstractAsyncContextManager[HttpApi]:
    """extract.client.open_api with the endpoints, contact and bounds of the settings; `retry` None is the default."""
    from pipelines.extract.client import DEFAULT_RETRY, open_api

    return open_api(
        venue,
        endpoints=settings.endpoints_of(venue.name),
        contact=settings.contact,
        retry=retry or DEFAULT_RETRY,
        clock=clock,
        node_blocks=settings.node_blocks,
        **more,
    )
