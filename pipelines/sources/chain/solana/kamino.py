"""Kamino (klend), Solana's largest lender: liquidations from instructions, inner token transfers and logs. No key.

The program tells of a liquidation by no event. Its instruction names the accounts; what was asked for is a cap, so the amounts
are those of the inner transfers: the liquidator's payment into the reserve's supply, and what left the other reserve. Where the
reserve could not pay out, only its shares moved: then the collateral is the share's mint.

The same instruction serves orders of the owner (stop loss, take profit), which are no liquidations; the program's log line tells
which. The runtime cuts long logs: without the line the reason is unknown, and the row counts as a liquidation, being one by its
name. The owner of a loan is in no instruction: `borrower` is the address of the position.

Facts: klend at edd5ff509a (2026-03-23) and SQD's documentation. Nothing was tried live; what is not sure is marked "?".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import REJECT_SCHEMA, CoverageSpan, SourceRules
from pipelines.core.errors import SourceFormatError
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Context, Daily, Feed, Job, Page, Parsed, Retention, Span, Venue
from pipelines.sources.account import LINE, count_page, leave_out_lines
from pipelines.sources.chain.portal import PORTAL, PORTAL_REQUESTS, BlockRange, Portal, blocks_of
from pipelines.sources.chain.solana.base58 import decoded
from pipelines.sources.chain.solana.transfers import Transfer, transfers
from pipelines.sources.instruments import runs_of_days

NAME: Final = "kamino"
PROTOCOL: Final = "kamino"
CHAIN: Final = "solana"
TABLE: Final = "lending_liquidations"

PROGRAM: Final = "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD"
SINCE: Final = date(2023, 11, 1)
"""The main market opened in the autumn of 2023; from which slot the portal serves Solana is not documented. ?"""

FINALITY: Final = timedelta(minutes=1)
"""A slot is final some 13 seconds after it; the portal serves final ones only."""


def discriminator(name: str) -> str:
    """First eight bytes of an Anchor instruction's data, as 0x-hex."""
    return "0x" + hashlib.sha256(f"global:{name}".encode()).digest()[:8].hex()


LIQUIDATE: Final = tuple(
    discriminator(f"liquidate_obligation_and_redeem_reserve_collateral{version}") for version in ("", "_v2")
)

FIELDS: Final = {
    "block": {"number": True, "timestamp": True},
    "transaction": {"transactionIndex": True, "signatures": True, "err": True},
    "instruction": {
        "transactionIndex": True, "instructionAddress": True, "programId": True, "accounts": True, "data": True,
        "isCommitted": True,
    },
    "log": {"transactionIndex": True, "programId": True, "message": True},
    "tokenBalance": {
        "transactionIndex": True, "account": True, "preMint": True, "postMint": True, "preDecimals": True,
        "postDecimals": True,
    },
}  # fmt: skip
"""Fields requested from the portal."""


@dataclass(frozen=True)
class Accounts:
    """Positions of the accounts in both versions of the instruction."""

    liquidator: int = 0
    obligation: int = 1
    market: int = 2
    debt_mint: int = 5
    debt_supply: int = 6
    collateral_mint: int = 8
    share_mint: int = 9
    share_supply: int = 10
    collateral_supply: int = 11
    payer: int = 13
    share_receiver: int = 14
    receiver: int = 15
    fewest: int = 20


AT: Final = Accounts()

_REASON: Final = re.compile(r"eligible for liquidation because of\s+(.*)", re.IGNORECASE)
_OF_OWNER: Final = re.compile(r"order", re.IGNORECASE)


def query(blocks: BlockRange) -> Mapping[str, Any]:
    """Body of a portal query: the instructions with what happened inside them, the logs and the balances of their transaction.

    The names of the last three options are those of older documentation. ?
    """
    item = {
        "programId": [PROGRAM], "d8": list(LIQUIDATE), "isCommitted": True, "transaction": True,
        "innerInstructions": True, "logs": True, "transactionTokenBalances": True,
    }  # fmt: skip
    return {
        "type": "solana", "fromBlock": blocks.first, "toBlock": blocks.last, "fields": FIELDS, "instructions": [item],
    }  # fmt: skip


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """All liquidations of the span, block by block."""
    portal = Portal(api)
    async for page in portal.stream(await portal.blocks(job.span), query):
        yield page


@dataclass(frozen=True)
class _Found:
    """One liquidation: its place in the landing, its block and transaction, the instruction, and what goes with it."""

    line: int
    block: Mapping[str, Any]
    transaction: Mapping[str, Any]
    instruction: Mapping[str, Any]

    @property
    def index(self) -> int:
        return int(self.instruction["transactionIndex"])

    def of_transaction(self, kind: str) -> list[Mapping[str, Any]]:
        return [one for one in self.block.get(kind, []) if one["transactionIndex"] == self.index]

    @property
    def inner(self) -> list[Mapping[str, Any]]:
        """The instructions that this one carried out, in their order."""
        own = list(self.instruction["instructionAddress"])
        below = [
            one
            for one in self.of_transaction("instructions")
            if len(one["instructionAddress"]) > len(own) and list(one["instructionAddress"][: len(own)]) == own
        ]
        return sorted(below, key=lambda one: list(one["instructionAddress"]))

    @property
    def is_committed(self) -> bool:
        return self.transaction.get("err") is None and self.instruction.get("isCommitted", True) is True

    @property
    def reasons(self) -> list[str]:
        """What the program says why it liquidates, once for each liquidation of the transaction; empty if the log was cut."""
        said = (_REASON.search(str(one.get("message", ""))) for one in self.of_transaction("logs"))
        return [match[1] for match in said if match is not None]


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidations; the instruction is the record.

    Left out: transactions that failed, and orders of the owner. Rejected: an instruction without a transfer of debt or of
    collateral. Raises SourceFormatError for a stream in another format.
    """
    rows: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    failed: list[int] = []
    ordered: list[int] = []
    for page in pages:
        try:
            for found, place, of in _liquidations(page):
                if not found.is_committed:
                    failed.append(found.line)
                elif _is_order(found.reasons, place, of):
                    ordered.append(found.line)
                else:
                    row = _row(found)
                    (rejects if "fault" in row else rows).append(row)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise SourceFormatError(f"{page.where}: malformed instructions ({error!r}): {page.excerpt}") from error
    leave_out_lines(pl.Series(LINE, failed, dtype=pl.Int64), "other_kind")
    leave_out_lines(pl.Series(LINE, ordered, dtype=pl.Int64), "not_forced")
    yield Parsed(TABLE, pl.DataFrame(rows, schema=ROWS), _rejects(rejects))


ROWS: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(("chain", "event_id", "tx_hash", "protocol", "market"), pl.String()),
    "block_number": pl.Int64(),
    "occurred_at": pl.Datetime("us"),
    **dict.fromkeys(("borrower", "liquidator", "collateral_token", "collateral_amount_raw"), pl.String()),
    "collateral_amount": pl.Float64(),
    **dict.fromkeys(("debt_token", "debt_amount_raw"), pl.String()),
    "debt_amount": pl.Float64(),
    "completeness": pl.String(),
    "available_at": pl.Datetime("us"),
    LINE: pl.Int64(),
}


def _liquidations(page: Page) -> Iterator[tuple[_Found, int, int]]:
    """The liquidations of a page; of each, which one of its transaction it is, and of how many."""
    found: list[tuple[_Found, int, int]] = []
    matching: list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]] = []
    for block in blocks_of(page, "instructions"):
        own = [one for one in block.get("instructions", ()) if _is_liquidation(one)]
        if own:
            matching.append((block, own))
    count = sum(len(own) for _, own in matching)
    before = count_page(page, count)
    line = 0 if before is None else before
    for block, own in matching:
        transactions = {one["transactionIndex"]: one for one in block["transactions"]}
        places: dict[int, int] = {}
        totals = [one["transactionIndex"] for one in own]
        for one in sorted(own, key=lambda x: (x["transactionIndex"], list(x["instructionAddress"]))):
            line += 1
            index = one["transactionIndex"]
            place = places[index] = places.get(index, -1) + 1
            found.append((_Found(line, block, transactions[index], one), place, totals.count(index)))
    yield from found


def _is_liquidation(instruction: Mapping[str, Any]) -> bool:
    if instruction["programId"] != PROGRAM:
        return False
    return "0x" + decoded(instruction["data"])[:8].hex() in LIQUIDATE


def _is_order(reasons: Sequence[str], place: int, of: int) -> bool:
    """Whether a liquidation carried out an order of the owner. Of several in a transaction each has its own line, in order."""
    if not reasons or len(reasons) != of:
        return bool(reasons) and all(_OF_OWNER.search(reason) for reason in reasons)
    return _OF_OWNER.search(reasons[place]) is not None


def _row(found: _Found) -> dict[str, Any]:
    accounts: Sequence[str] = found.instruction["accounts"]
    signature = str(found.transaction["signatures"][0])
    address = ".".join(str(part) for part in found.instruction["instructionAddress"])
    event_id = f"{signature}:{address}"
    if len(accounts) < AT.fewest:
        return _fault(found, f"{len(accounts)} accounts, and {AT.fewest} are needed", event_id)
    moved = transfers(found.inner)
    decimals = _decimals(found)

    def sum_of(source: int, target: int) -> tuple[int, int | None] | None:
        own = [one for one in moved if (one.source, one.target) == (accounts[source], accounts[target])]
        return (sum(one.amount for one in own), _stated(own)) if own else None

    debt = sum_of(AT.payer, AT.debt_supply)
    token, seized = accounts[AT.collateral_mint], sum_of(AT.collateral_supply, AT.receiver)
    if seized is None:
        # The reserve had nothing free to pay out: shares went to the liquidator and stayed shares.
        token, seized = accounts[AT.share_mint], sum_of(AT.share_supply, AT.share_receiver)
    if debt is None or seized is None:
        return _fault(found, f"no transfer of {'debt' if debt is None else 'collateral'} inside it", event_id)
    at = datetime.fromtimestamp(int(found.block["header"]["timestamp"]), UTC).replace(tzinfo=None)
    debt_token = accounts[AT.debt_mint]
    return {
        "chain": CHAIN,
        "event_id": event_id,
        "tx_hash": signature,
        "protocol": PROTOCOL,
        "market": accounts[AT.market],
        "block_number": int(found.block["header"]["number"]),
        "occurred_at": at,
        "borrower": accounts[AT.obligation],
        "liquidator": accounts[AT.liquidator],
        "collateral_token": token,
        "collateral_amount_raw": str(seized[0]),
        "collateral_amount": _whole(seized, decimals.get(token)),
        "debt_token": debt_token,
        "debt_amount_raw": str(debt[0]),
        "debt_amount": _whole(debt, decimals.get(debt_token)),
        "completeness": "full",
        "available_at": at + FINALITY,
        LINE: found.line,
    }


def _stated(moved: Sequence[Transfer]) -> int | None:
    return next((one.decimals for one in moved if one.decimals is not None), None)


def _whole(amount: tuple[int, int | None], decimals: int | None) -> float | None:
    """An amount in whole tokens; None if nothing says the decimals, and marts ask the registry and the price service."""
    digits = amount[1] if amount[1] is not None else decimals
    return None if digits is None else amount[0] / 10.0**digits


def _decimals(found: _Found) -> dict[str, int]:
    """Decimals by mint, from the balances of the transaction."""
    known: dict[str, int] = {}
    for one in found.of_transaction("tokenBalances"):
        for side in ("pre", "post"):
            mint, digits = one.get(f"{side}Mint"), one.get(f"{side}Decimals")
            if mint is not None and digits is not None:
                known[mint] = int(digits)
    return known


def _fault(found: _Found, fault: str, event_id: str) -> dict[str, Any]:
    day = datetime.fromtimestamp(int(found.block["header"]["timestamp"]), UTC).date()
    raw = {"event_id": event_id, "accounts": found.instruction["accounts"], "data": found.instruction["data"]}
    return {LINE: found.line, "fault": fault, "day": day, "raw": raw}


def _rejects(faults: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    import orjson

    rows = [
        {
            "trade_date": one["day"], "line": one[LINE], "field": None, "instrument": None, "reason": "unparsable",
            "detail": one["fault"], "raw": orjson.dumps(one["raw"]).decode(),
        }
        for one in faults
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=REJECT_SCHEMA)


def coverage(spans: Sequence[Span]) -> SourceRules:
    """No row on a landed day means no liquidation."""
    return SourceRules(
        spans=tuple(CoverageSpan(TABLE, PROTOCOL, first, last, series=CHAIN) for first, last in runs_of_days(spans))
    )


VENUE: Final = Venue(
    name=NAME,
    endpoints={PORTAL: "https://portal.sqd.dev/datasets/solana-mainnet"},
    # Published as 20 per 10 seconds, shared with the EVM chains; a 429 is waited out.
    limits=(Limit(20, 10, PORTAL_REQUESTS, share=1.0),),
    concurrency=1,
    notes=(
        "Liquidations on Kamino, from instructions of finalized blocks of SQD's portal. Orders of the owner (stop loss, take "
        "profit) are left out by the program's log; where the runtime cut the log, they cannot be told. The borrower is the "
        "address of the position. Not read: the program's staging copy, losses that are socialized, other lenders of Solana."
    ),
    feeds=(
        Feed(
            name="liquidations",
            tables=(TABLE,),
            description="Liquidations on Kamino's markets: debt repaid and collateral seized, from the inner token transfers.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=SINCE),
            cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
            rules=coverage,
        ),
    ),
)
