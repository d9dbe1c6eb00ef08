"""What a case of an exchange consists of: feeds, listings, and the days that the venue still has of each feed.

The cases are in venue_cases.py and more_venue_cases.py. Nothing is fetched here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import ModuleType
from typing import Any, Final

from pipelines.sandbox.emulator import Route
from pipelines.sandbox.market_model import Listing
from tests.sources.expected import ExpectedRows, Window

NOW: Final = datetime(2026, 7, 3, 6)
"""The year before it includes the first day of Bybit's singleOpenInterest."""

ARCHIVE_NOW: Final = datetime(2025, 6, 3, 6)
"""The year before it includes the end of the liquidation archive, the switch of spot files to microseconds, and a sentinel."""

YEAR: Final = 365
CROWD: Final = 200
BIG_THREE: Final = ("BTC", "ETH", "PEPE")

Listings = Sequence[Listing]


def is_perpetual(listing: Listing) -> bool:
    return listing.contract_type != "spot"


def is_linear(listing: Listing) -> bool:
    return listing.contract_type == "linear"


def is_inverse(listing: Listing) -> bool:
    return listing.contract_type == "inverse"


def is_spot(listing: Listing) -> bool:
    return listing.contract_type == "spot"


def anything(listing: Listing) -> bool:
    return True


@dataclass(frozen=True)
class FeedCase:
    """What a feed must load into a table: `rows` for every listing selected by `of`.

    `days` is the venue's retention before its clock, `lag` the number of newest days not published yet; data ends on the day
    `until`. A feed with `months` loads past months as a whole. A feed fetched for the `whole` venue has all listings, whatever
    the assets. `about` replaces the listings if rows refer to something else, identified by the column `key`.
    """

    feed: str
    table: str
    rows: ExpectedRows
    of: Callable[[Listing], bool] = is_perpetual
    days: int = YEAR
    lag: int = 0
    until: date | None = None
    months: bool = False
    whole: bool = False
    key: str = "instrument"
    about: Callable[[Listings], Listings] | None = None
    rel_tol: float = 1e-12
    abs_tol: float = 0.0

    def window(self, first: date, last: date, now: datetime) -> Window | None:
        """The part of the days from `first` through `last` that the venue has; None if it has none of them."""
        published = now.date() - timedelta(days=1 + self.lag)
        first = max(first, now.date() - timedelta(days=self.days))
        last = min(last, self.until or last)
        if self.months:
            first, last = first.replace(day=1), month_end(last)
            last = last if last <= published else published.replace(day=1) - timedelta(days=1)
        last = min(last, published)
        start, end = (datetime(day.year, day.month, day.day) for day in (first, last + timedelta(days=1)))
        return Window(start, end, now) if start < end else None


def month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


@dataclass(frozen=True)
class VenueCase:
    """One venue. A year is fetched for `assets` among `listings`, the emulator's default; for a day of a large universe the
    emulator lists `crowd` instead, with `overrides` of other names in its module that depend on the listings.

    A year of `slow_feeds` takes so long that only the slow suite tests it; the day has all feeds. `captured` feeds record the
    current state and are tested with the day. `allowed_rejects` are (feed, reason) pairs that may be in quarantine.
    """

    venue: str
    emulated: ModuleType
    listings: Listings
    crowd: Listings
    feed_cases: Sequence[FeedCase]
    captured: Sequence[FeedCase] = ()
    slow_feeds: Sequence[str] = ()
    assets: Sequence[str] = BIG_THREE
    now: datetime = NOW
    day: date = date(2026, 6, 15)
    overrides: Callable[[Listings], Mapping[str, Any]] | None = None
    routes: Callable[[Listings], Sequence[Route]] | None = None
    """Routes, if overriding the module's names does not change them."""
    allowed_rejects: frozenset[tuple[str, str]] = frozenset()


def crowd(
    venue: str,
    linear: str,
    *,
    inverse: str = "",
    scaled: str = "",
    spot: str = "",
    quote: str = "USDT",
    size: float | None = None,
    inverse_size: float | None = None,
    interval_hours: int = 8,
) -> tuple[Listing, ...]:
    """Two hundred perpetuals named by these patterns, one in ten inverse and one in ten scaled if the venue has such contracts, and
    three spot pairs. Their prices are derived from their names."""
    listings = []
    for number in range(CROWD):
        asset = f"C{number:03}"
        if inverse and number % 10 == 3:
            one = Listing(
                venue, inverse.format(asset), asset, quote="USD", contract_type="inverse", contract_size=inverse_size,
                contract_size_unit="usd", interval_hours=interval_hours,
            )  # fmt: skip
        else:
            is_scaled = bool(scaled) and number % 10 == 7
            one = Listing(
                venue, (scaled if is_scaled else linear).format(asset), asset, quote=quote, contract_size=size,
                contract_size_unit="base" if size else None, multiplier=1000.0 if is_scaled else 1.0,
                interval_hours=interval_hours,
            )  # fmt: skip
        listings.append(one)
    pairs = [Listing(venue, spot.format(f"C{n:03}"), f"C{n:03}", contract_type="spot") for n in range(3) if spot]
    return (*listings, *pairs)


def named(**names: str) -> Callable[[Listings], Listings]:
    """Listings of assets under these names."""
    return lambda listings: [Listing(listings[0].venue, name, asset) for asset, name in names.items()]


def chains(*assets: str) -> Callable[[Listings], Listings]:
    return named(**{asset: asset for asset in assets})


def fewer(listings: Sequence[Listing], perpetuals: int) -> tuple[Listing, ...]:
    """The crowd's first perpetuals of every kind of name, and whatever is no part of it."""
    number = {x.asset: int(x.asset[1:]) for x in listings if re.fullmatch(r"C\d{3}", x.asset)}
    return tuple(x for x in listings if number.get(x.asset, 0) < perpetuals)
