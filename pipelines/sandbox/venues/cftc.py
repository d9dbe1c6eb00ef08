"""Emulates CFTC's weekly report as inventoried: a row for every future and Tuesday, numbers as text, pages by offset."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = tuple(
    Listing("cme", code, asset, quote="USD", contract_size=size, contract_size_unit="base")
    for code, asset, size in (
        ("133741", "BTC", 5.0),
        ("133742", "BTC", 0.1),
        ("146021", "ETH", 50.0),
        ("146022", "ETH", 0.1),
    )
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
DAY: Final = timedelta(days=1)
PUBLISHED: Final = timedelta(days=3, hours=20, minutes=30)
MOST: Final = 4
"""Rows of a page, whatever limit is asked for."""
_BETWEEN: Final = re.compile(r"(?:between|>=) '(\d{4}-\d\d-\d\d)T[^']*'(?: and '(\d{4}-\d\d-\d\d)T)?")


def report(request: Request, market: MarketModel) -> Response:
    bounds = _BETWEEN.search(request.params["$where"])
    if bounds is None:
        return Response({"error": True, "message": "Unrecognized arguments"}, status=400)
    first = datetime.fromisoformat(bounds[1])
    last = datetime.fromisoformat(bounds[2]) if bounds[2] else request.now
    rows = []
    for listing in BY_NAME.values():
        if f"'{listing.instrument}'" not in request.params["$where"]:
            continue
        day = first + timedelta(days=(1 - first.weekday()) % 7)
        while day <= last and day + PUBLISHED <= request.now:
            amount = market.open_interest(listing, 1440, day + DAY, day + 2 * DAY)["oi_base"][0] / (
                listing.contract_size or 1
            )
            rows.append(
                {
                    "market_and_exchange_names": f"{listing.asset} - CHICAGO MERCANTILE EXCHANGE",
                    "report_date_as_yyyy_mm_dd": f"{day:%Y-%m-%d}T00:00:00.000",
                    "cftc_contract_market_code": listing.instrument,
                    "open_interest_all": repr(amount),
                }
            )
            day += timedelta(days=7)
    rows.sort(
        key=lambda row: (row["report_date_as_yyyy_mm_dd"], row["cftc_contract_market_code"]),
        reverse=request.params["$order"].endswith("desc"),
    )
    start = int(request.params["$offset"])
    return Response(rows[start : start + MOST])


ROUTES: Final[Sequence[Route]] = (Route("GET", "api", "/resource/gpe5-46if.json", report),)
