"""Binance's archive for a simulated market with its planted faults: a daily file published late, and one that is restated.

The files themselves are generated in venues/binance_archive.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipelines.sandbox.emulator import Handler, Request, Response, Route
from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_episodes import LATE_BY, RESTATED_AFTER
from pipelines.sandbox.market_model import MarketModel
from pipelines.sandbox.venues import binance_archive

METRICS: Final = "/data/futures/um/daily/metrics/"
NAME: Final = "binance_archive"
VENUE: Final = "binance"


def routes(market: SimulatedMarket) -> Sequence[Route]:
    """The archive's routes, with the faults planted in `market` applied to daily metrics."""
    return [
        replace(route, handler=_faulty(route.handler, market)) if route.handler is binance_archive.file else route
        for route in binance_archive.ROUTES
    ]


def _faulty(handler: Handler, simulated: SimulatedMarket) -> Handler:
    names = {(x.asset, x.contract_type): x.instrument for x in binance_archive.LISTINGS if x.quote == "USDT"}
    # <symbol>-metrics-<day>.zip, and its checksum.
    files = {
        f"{names[e.asset, 'linear']}-metrics-{e.first_day}.zip": e
        for e in simulated.episodes
        if e.venue == VENUE and e.kind in ("late", "restated")
    }
    before_restatement = simulated.before_restatement()

    def file(request: Request, market: MarketModel) -> Response:
        planted = (
            files.get(request.params["file"].removesuffix(".CHECKSUM")) if request.path.startswith(METRICS) else None
        )
        if planted is None:
            return handler(request, market)
        if planted.kind == "late" and request.now < planted.end + LATE_BY:
            return handler(replace(request, now=planted.start), market)
        if planted.kind == "restated" and request.now < planted.end + RESTATED_AFTER:
            return handler(request, before_restatement)
        return handler(request, market)

    return file
