"""Emulates Solana's stream of SQD's portal with liquidations on Kamino: slots, transactions, inner transfers, logs, balances.

The market's attribute `solana` lists them; without it nothing is liquidated. Slots have the times of the emulated EVM chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import MarketModel
from pipelines.sandbox.venues.evm import ChainMarket, block_at, block_of, finalized_head, seconds_of
from pipelines.sources.chain.solana.base58 import encoded

PROGRAM: Final = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"
TOKENS: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
LIQUIDATE: Final = {1: bytes.fromhex("b1479abce2854a37"), 2: bytes.fromhex("a2a1238f1ebbb967")}
"""First bytes of the instruction by version."""

SOL: Final = "So11111111111111111111111111111111111111112"
USDC: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
MOST_SLOTS: Final = 5_000
"""Slots after which the portal ends a stream."""


@dataclass(frozen=True)
class Liquidated:
    """A liquidation in a slot: `debt` paid, `seized` collateral (None: only `shares` of it), amounts in smallest units.

    `reason` is what the program logs (None: the log was cut). `failed`: the transaction did not succeed. `within` is the address of
    the instruction that calls the program: bots call it through their own.
    """

    slot: int
    number: int
    debt: int = 100_000_000
    seized: int | None = 700_000_000
    shares: int = 650_000_000
    reason: str | None = "LtvExceeded"
    failed: bool = False
    version: int = 2
    within: tuple[int, ...] = (2,)
    debt_mint: str = USDC
    collateral_mint: str = SOL
    checked: bool = True
    """Whether transfers state the decimals."""
    transaction: int | None = None
    """Number of the transaction, where several share one."""


@dataclass(frozen=True)
class SolanaMarket(ChainMarket):
    """A market with liquidations on Solana."""

    solana: Sequence[Liquidated] = field(default_factory=tuple)


def name(text: str) -> str:
    """An address made of a text."""
    return encoded(hashlib.sha256(text.encode()).digest())


def account(one: Liquidated, role: str) -> str:
    return name(f"{role} {one.number}")


def accounts(one: Liquidated) -> list[str]:
    """The accounts of the instruction in their order."""
    roles = [
        "liquidator", "obligation", "market", "authority", "debt reserve", "", "debt supply", "collateral reserve", "",
        "share mint", "share supply", "collateral supply", "fees", "payer", "share receiver", "receiver",
    ]  # fmt: skip
    found = [account(one, role) for role in roles] + [TOKENS] * 3 + [name("sysvar")]
    found[5], found[8] = one.debt_mint, one.collateral_mint
    return found


def signature(one: Liquidated) -> str:
    number = one.number if one.transaction is None else one.transaction
    return encoded(hashlib.sha512(f"tx {number}".encode()).digest())


def transfer(one: Liquidated, source: str, target: str, mint: str, amount: int, decimals: int) -> dict[str, Any]:
    if one.checked:
        data = bytes([12]) + amount.to_bytes(8, "little") + bytes([decimals])
        return {"accounts": [source, mint, target, name("owner")], "data": encoded(data), "programId": TOKENS}
    return {
        "accounts": [source, target, name("owner")],
        "data": encoded(bytes([3]) + amount.to_bytes(8, "little")),
        "programId": TOKENS,
    }


def instructions(one: Liquidated, index: int) -> list[dict[str, Any]]:
    """The liquidation and what it carries out."""
    held = accounts(one)
    data = LIQUIDATE[one.version] + (2 * one.debt).to_bytes(8, "little") + bytes(16)
    inner = [
        transfer(one, held[13], held[6], held[5], one.debt, 6),
        transfer(one, held[10], held[14], held[9], one.shares, 9),
    ]
    if one.seized is not None:
        burn = {"accounts": [held[14], held[9]], "data": encoded(bytes([8]) + bytes(8)), "programId": TOKENS}
        out = transfer(one, held[11], held[15], held[8], one.seized, 9)
        inner += [burn, out, transfer(one, held[15], held[12], held[8], one.seized // 100, 9)]
    outer = {"accounts": held, "data": encoded(data), "programId": PROGRAM, "instructionAddress": list(one.within)}
    below = [{**call, "instructionAddress": [*one.within, n]} for n, call in enumerate(inner)]
    return [{**call, "transactionIndex": index, "isCommitted": not one.failed} for call in (outer, *below)]


def stream(request: Request, market: MarketModel) -> Response:
    """The first and the last slot of the range, and those in between with a match."""
    query = request.json
    items = query.get("instructions", [])
    if query.get("type") != "solana" or len(items) != 1 or query["fromBlock"] > query["toBlock"]:
        return Response({"error": "the query is malformed"}, status=400)
    head = block_of(request.now - getattr(market, "behind", ChainMarket().behind)) - 1
    first = query["fromBlock"]
    if first > head:
        return Response(b"", status=204)
    last = min(query["toBlock"], head, first + MOST_SLOTS - 1)
    [item] = items
    wanted = {bytes.fromhex(one.removeprefix("0x")) for one in item["d8"]}
    blocks: dict[int, list[Liquidated]] = {first: [], last: []}
    for one in getattr(market, "solana", ()):
        is_asked = PROGRAM in item["programId"] and LIQUIDATE[one.version] in wanted
        if first <= one.slot <= last and is_asked and not (item.get("isCommitted") and one.failed):
            blocks.setdefault(one.slot, []).append(one)
    return Response(b"".join(line(slot, found, item) for slot, found in sorted(blocks.items())))


def line(slot: int, found: Sequence[Liquidated], item: Mapping[str, Any]) -> bytes:
    """One line of the stream."""
    block: dict[str, Any] = {"header": {"number": slot, "timestamp": seconds_of(slot)}}
    places = {text: n for n, text in enumerate(dict.fromkeys(signature(one) for one in found))}
    if found:
        block["transactions"] = [
            {"transactionIndex": n, "signatures": [text], "err": {"InstructionError": [2]} if failed else None}
            for text, n in places.items()
            for failed in [any(one.failed for one in found if signature(one) == text)]
        ]
        block["instructions"] = [call for one in found for call in instructions(one, places[signature(one)])]
        block["logs"] = [
            {"transactionIndex": places[signature(one)], "programId": PROGRAM,
             "message": f"Program log: Obligation is eligible for liquidation because of {one.reason}"}
            for one in found
            if one.reason is not None and item.get("logs")
        ]  # fmt: skip
        block["tokenBalances"] = [
            {"transactionIndex": places[signature(one)], "account": account(one, role), "preMint": mint, "postMint": mint,
             "preDecimals": decimals, "postDecimals": decimals}
            for one in found
            for role, mint, decimals in (("payer", one.debt_mint, 6), ("receiver", one.collateral_mint, 9))
            if item.get("transactionTokenBalances")
        ]  # fmt: skip
    return orjson.dumps(block) + b"\n"


ROUTES: Final = (
    Route("GET", "portal", "/timestamps/{unix}/block", block_at),
    Route("GET", "portal", "/finalized-head", finalized_head),
    Route("POST", "portal", "/finalized-stream", stream),
)
