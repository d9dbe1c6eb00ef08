"""Emulates DefiLlama's prices as documented: a point near every requested hour, nothing for unknown tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel
from pipelines.sources.chain.defillama import CHAINS, COIN
from pipelines.sources.tokens import NATIVE, registered

MOST_POINTS: Final = 500
PERIODS: Final = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}
OUR_CHAIN: Final = {theirs: ours for ours, theirs in CHAINS.items()}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: `unknown` assets have no price, every point is `offset` away from its hour, and `upper_case` returns
    addresses in upper case."""

    unknown: frozenset[str] = frozenset()
    offset: timedelta = timedelta(minutes=3)
    upper_case: bool = False


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def prices_of(market: MarketModel, asset: str, stamps: Sequence[datetime]) -> list[float]:
    """Dollars per token at the full minutes of the sorted `stamps`."""
    if asset.startswith("USD") or asset in ("DAI", "FRAX", "LUSD"):
        return [1.0] * len(stamps)
    minutes = [at.replace(second=0, microsecond=0) for at in stamps]
    listing = Listing("defillama", asset, asset, quote="USD")
    candles = market.candles(listing, "spot", 1, minutes[0], minutes[-1] + timedelta(minutes=1))
    opened = dict(candles.select("opened_at", "open").iter_rows())
    return [float(opened[minute]) for minute in minutes]


def stamp_of(hour: datetime, behavior: ResponseBehavior) -> datetime:
    """Time of the price nearest to an hour: alternately after and before it, never exactly at it."""
    return hour + (behavior.offset if hour.hour % 2 == 0 else -behavior.offset)


def chart(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    names = request.params["coins"].split(",")
    try:
        start = datetime(1970, 1, 1) + timedelta(seconds=int(request.params["start"]))
        points, step = int(request.params.get("span", 0)), PERIODS[request.params.get("period", "1d")]
        reach = timedelta(seconds=int(request.params["searchWidth"]))
    except (KeyError, ValueError):
        return Response({"message": "start, span, period and searchWidth are required"}, status=400)
    if points * len(names) > MOST_POINTS:
        return Response({"message": f"more than {MOST_POINTS} points"}, status=400)
    columns = registered().drop_nulls("asset").select("chain", "token", "symbol", "asset", "decimals")
    tokens = {(chain, token): rest for chain, token, *rest in columns.iter_rows()}
    coins: dict[str, Any] = {}
    for name in names:
        chain, _, address = name.partition(":")
        known = tokens.get((OUR_CHAIN.get(chain, chain), NATIVE if address == COIN else address))
        if known is None or known[1] in behavior.unknown:
            continue
        symbol, asset, decimals = known
        hours = [start + step * number for number in range(points)]
        stamps = [at for hour in hours if behavior.offset <= reach and (at := stamp_of(hour, behavior)) <= request.now]
        prices = prices_of(market, asset, stamps) if stamps else []
        coins[f"{chain}:{address.upper().replace('0X', '0x')}" if behavior.upper_case else name] = {
            "symbol": symbol,
            "confidence": 0.99,
            "decimals": decimals,
            "prices": [
                {"timestamp": int((at - datetime(1970, 1, 1)).total_seconds()), "price": price}
                for at, price in zip(stamps, prices, strict=True)
            ],
        }
    return Response({"coins": coins})


def routes(behavior: ResponseBehavior) -> Sequence[Route]:
    """All endpoints of DefiLlama with this response behavior."""

    def bound(
        endpoint: Callable[[Request, MarketModel, ResponseBehavior], Response],
    ) -> Callable[[Request, MarketModel], Response]:
        return lambda request, market: endpoint(request, market, behavior)

    return (Route("GET", "api", "/chart/{coins}", bound(chart)),)


ROUTES: Final[Sequence[Route]] = routes(DEFAULT_BEHAVIOR)
