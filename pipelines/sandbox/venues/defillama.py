"""DefiLlama's prices as documented: a point near every hour asked for, nothing about tokens it does not know."""

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
    """What the service does not promise: `unknown` are assets it has no price of; every point lies up to `off` beside its
    hour, and `shouts` gives addresses back with capitals."""

    unknown: frozenset[str] = frozenset()
    off: timedelta = timedelta(minutes=3)
    shouts: bool = False


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def prices_of(market: MarketModel, asset: str, stamps: Sequence[datetime]) -> list[float]:
    """Dollars per token at full minutes; stamps in order."""
    if asset.startswith("USD") or asset in ("DAI", "FRAX", "LUSD"):
        return [1.0] * len(stamps)
    minutes = [at.replace(second=0, microsecond=0) for at in stamps]
    listing = Listing("defillama", asset, asset, quote="USD")
    candles = market.candles(listing, "spot", 1, minutes[0], minutes[-1] + timedelta(minutes=1))
    opened = dict(candles.select("opened_at", "open").iter_rows())
    return [float(opened[minute]) for minute in minutes]


def stamp_of(hour: datetime, behavior: ResponseBehavior) -> datetime:
    """When the price nearest to an hour was struck: beside it by turns, never at it."""
    return hour + (behavior.off if hour.hour % 2 == 0 else -behavior.off)


def chart(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    names = request.params["coins"].split(",")
    try:
        start = datetime(1970, 1, 1) + timedelta(seconds=int(request.params["start"]))
        points, step = int(request.params.get("span", 0)), PERIODS[request.params.get("period", "1d")]
        reach = timedelta(seconds=int(request.params["searchWidth"]))
    except (KeyError, ValueError):
        return Response({"message": "start, span, period and searchWidth are wanted"}, status=400)
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
        stamps = [at for hour in hours if behavior.off <= reach and (at := stamp_of(hour, behavior)) <= request.now]
        prices = prices_of(market, asset, stamps) if stamps else []
        coins[f"{chain}:{address.upper().replace('0X', '0x')}" if behavior.shouts else name] = {
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
    """The routes of a DefiLlama with these manners."""

    def mannered(
        answering: Callable[[Request, MarketModel, ResponseBehavior], Response],
    ) -> Callable[[Request, MarketModel], Response]:
        return lambda request, market: answering(request, market, behavior)

    return (Route("GET", "api", "/chart/{coins}", mannered(chart)),)


ROUTES: Final[Sequence[Route]] = routes(DEFAULT_BEHAVIOR)
