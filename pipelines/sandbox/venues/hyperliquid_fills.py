"""Emulates Hyperliquid's fills from SQD's portal and in a node's files: both sides of every liquidation of the market model.

The portal has JSON numbers instead of text and no `liquidation`; the node has hourly files with both sides of every fill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import MarketModel
from pipelines.sandbox.venues.hyperliquid import LISTINGS

GENESIS: Final = datetime(2025, 10, 2)
FIRST_BLOCK: Final = 750_000_000
BLOCK_MS: Final = 100
BEHIND: Final = timedelta(hours=2)
STREAM_BLOCKS: Final = 300_000
HOUR: Final = timedelta(hours=1)
VAULT: Final = "0x2e3d94f0562703b25c83308a05046ddaf9a8dd14"
TRADER: Final = "0x" + "11" * 20
VICTIM: Final = "0x" + "22" * 20
KINDS: Final = ("market", "backstop", "adl")
"""How liquidations are executed, cycling by number: in the order book, by the backstop vault, or against a trader in profit."""


def forced(market: MarketModel, start: datetime, end: datetime) -> pl.DataFrame:
    """The market's liquidations of all listings with `instrument` and `kind`, in units of the instrument."""
    frames = [
        market.liquidations(listing, start, end).select(
            "occurred_at",
            "side",
            pl.lit(listing.instrument).alias("instrument"),
            (pl.col("number") * 1000 + index).alias("tid"),
            (pl.col("price") * listing.multiplier).alias("price"),
            (pl.col("quantity_base") / listing.multiplier).alias("quantity_base"),
            (pl.col("number") % len(KINDS))
            .replace_strict(dict(enumerate(KINDS)), return_dtype=pl.String)
            .alias("kind"),
        )
        for index, listing in enumerate(LISTINGS)
    ]
    return pl.concat(frames).sort("occurred_at", "tid")


def block_of(moment: datetime) -> int:
    """The first block at or after `moment`."""
    return FIRST_BLOCK + max(0, -((GENESIS - moment) // timedelta(milliseconds=BLOCK_MS)))


def fills(row: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Both fills of a liquidation trade, each with its user."""
    is_long, kind = row["side"] == "long", row["kind"]
    side = "Long" if is_long else "Short"
    taken_over = f"Liquidated Cross {side}"
    shared = {
        "coin": row["instrument"], "px": repr(row["price"]), "sz": repr(row["quantity_base"]),
        "time": milliseconds(row["occurred_at"]), "hash": f"0x{row['tid']:064x}", "fee": "0.0", "tid": row["tid"],
        "liquidation": {
            "liquidatedUser": VICTIM, "markPx": repr(row["price"]), "method": "market" if kind == "market" else "backstop",
        },
        "feeToken": "USDC", "twapId": None,
    }  # fmt: skip
    held = row["quantity_base"] if is_long else -row["quantity_base"]
    closes = {
        **shared, "side": "A" if is_long else "B", "startPosition": repr(held), "closedPnl": "-5.0", "oid": 1, "crossed": True,
        "dir": f"Close {side}" if kind == "market" else taken_over,
    }  # fmt: skip
    against = {
        "market": (TRADER, f"Open {side}", "0.0", "0.0"), "backstop": (VAULT, taken_over, "0.0", "0.0"),
        "adl": (TRADER, "Auto-Deleveraging", repr(-held), "5.0"),
    }  # fmt: skip
    user, direction, start, pnl = against[kind]
    takes = {
        **shared, "side": "B" if is_long else "A", "startPosition": start, "closedPnl": pnl, "oid": 2, "crossed": False,
        "dir": direction,
    }  # fmt: skip
    return [(user, takes), (VICTIM, closes)]


def block_at(request: Request, market: MarketModel) -> Response:
    number = block_of(datetime(1970, 1, 1) + timedelta(seconds=int(request.params["unix"])))
    if number > _finalized(request):
        return Response({"error": "timestamp is past the last block"}, status=404)
    return Response({"block_number": number})


def finalized_head(request: Request, market: MarketModel) -> Response:
    return Response({"number": _finalized(request), "hash": "0x0"})


def finalized_stream(request: Request, market: MarketModel) -> Response:
    """The first and last block of the scanned range, and the blocks in between with matching fills."""
    wanted = request.json
    if wanted.get("type") != "hyperliquidFills" or not wanted.get("fills") or wanted["fromBlock"] < FIRST_BLOCK:
        return Response({"error": "the query is malformed"}, status=400)
    first, head = wanted["fromBlock"], _finalized(request)
    if first > head:
        return Response(b"", status=204)
    last = min(wanted["toBlock"], head, first + STREAM_BLOCKS - 1)
    blocks: dict[int, list[dict[str, Any]]] = {first: [], last: []}
    for row in forced(market, _time_of(first - 1), _time_of(last) + timedelta(milliseconds=1)).iter_rows(named=True):
        number = block_of(row["occurred_at"])
        for index, (user, fill) in enumerate(fills(row)):
            if first <= number <= last and any(
                fill["dir"] in item.get("dir", [fill["dir"]]) for item in wanted["fills"]
            ):
                numbers = {name: float(fill[name]) for name in ("px", "sz", "startPosition", "closedPnl", "fee")}
                whole = {**fill, **numbers, "user": user, "fillIndex": index}
                blocks.setdefault(number, []).append({name: whole[name] for name in wanted["fields"]["fill"]})
    return Response(b"".join(_line(number, reported) for number, reported in sorted(blocks.items())))


def _line(number: int, reported: Sequence[Mapping[str, Any]]) -> bytes:
    header = {"number": number, "timestamp": milliseconds(_time_of(number))}
    return orjson.dumps({"header": header, **({"fills": reported} if reported else {})}) + b"\n"


def hour_file(request: Request, market: MarketModel) -> Response:
    """The blocks of a past hour, including an ordinary fill."""
    start = datetime.fromisoformat(request.params["day"]) + int(request.params["hour"]) * HOUR
    if start + HOUR > request.now:
        return Response(b"", status=404)
    ordinary = {
        "coin": "BTC", "px": "60000.0", "sz": "0.1", "side": "B", "time": milliseconds(start), "startPosition": "0.0",
        "dir": "Open Long", "closedPnl": "0.0", "hash": "0x0", "oid": 3, "crossed": True, "fee": "0.1", "tid": 1,
        "feeToken": "USDC", "twapId": None,
    }  # fmt: skip
    reported = [(start, [(TRADER, ordinary)])]
    reported += [(row["occurred_at"], fills(row)) for row in forced(market, start, start + HOUR).iter_rows(named=True)]
    lines = [
        {
            "local_time": f"{at.isoformat()}000", "block_time": f"{at.isoformat()}000", "block_number": block_of(at),
            "events": events,
        }
        for at, events in reported
    ]  # fmt: skip
    return Response(b"".join(orjson.dumps(line) + b"\n" for line in lines))


def _time_of(number: int) -> datetime:
    return GENESIS + timedelta(milliseconds=BLOCK_MS) * (number - FIRST_BLOCK)


def _finalized(request: Request) -> int:
    return block_of(request.now - BEHIND) - 1


ROUTES: Final = (
    Route("GET", "portal", "/timestamps/{unix}/block", block_at),
    Route("GET", "portal", "/finalized-head", finalized_head),
    Route("POST", "portal", "/finalized-stream", finalized_stream),
    Route("GET", "node", "/{day}/{hour}", hour_file),
)
