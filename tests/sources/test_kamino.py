"""Kamino: instruction data and base58 against facts of others, and days over HTTP from an emulated portal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.core.errors import SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.venue import Page
from pipelines.operations.fetch import fetch
from pipelines.sandbox.venues import kamino as emulated
from pipelines.sandbox.venues.evm import block_of
from pipelines.sandbox.venues.kamino import Liquidated, SolanaMarket, account, line, signature
from pipelines.sources.chain.solana import kamino
from pipelines.sources.chain.solana.base58 import decoded, encoded
from pipelines.sources.chain.solana.transfers import TOKEN, TOKEN_2022, Transfer, transfers
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, parse_payloads, quarantined

DAY = date(2024, 3, 8)
SLOT = block_of(datetime(2024, 3, 8, 12))


def test_base58_agrees_with_published_pairs() -> None:
    # The draft of base58's encoding, and the system program's address, which is 32 zero bytes.
    assert encoded(b"Hello World!") == "2NEpo7TZRRrLZSi2U"
    assert decoded("USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z") == (
        b"The quick brown fox jumps over the lazy dog."
    )
    assert encoded(bytes.fromhex("0000287fb4cd")) == "11233QC4"
    assert decoded("1" * 32) == bytes(32)
    with pytest.raises(ValueError, match="'0' is no letter"):
        decoded("0")


def test_instructions_are_known_by_their_first_bytes() -> None:
    """As the note of observed transactions has them."""
    assert kamino.LIQUIDATE == ("0xb1479abce2854a37", "0xa2a1238f1ebbb967")
    assert len(decoded(kamino.PROGRAM)) == len(decoded(TOKEN)) == len(decoded(TOKEN_2022)) == 32


def test_transfers_of_both_programs_are_read_and_other_instructions_are_not() -> None:
    amount = (1_234_567).to_bytes(8, "little")

    def call(data: bytes, *accounts: str, program: str = TOKEN) -> dict[str, Any]:
        return {"programId": program, "accounts": list(accounts), "data": encoded(data)}

    found = transfers(
        [
            call(b"\x03" + amount, "from", "to", "owner"),
            call(b"\x0c" + amount + b"\x06", "from", "mint", "to", "owner", program=TOKEN_2022),
            # The extension's transfer with a fee of 5.
            call(b"\x1a\x01" + amount + b"\x09" + (5).to_bytes(8, "little"), "from", "mint", "to", program=TOKEN_2022),
            call(b"\x08" + amount, "from", "mint"),
            call(b"\x03" + amount, "from", "to", program="another"),
        ]
    )
    assert found == [
        Transfer("from", "to", 1_234_567, None), Transfer("from", "to", 1_234_567, 6), Transfer("from", "to", 1_234_567, 9),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="has no amount"):
        transfers([call(b"\x03\x01", "from", "to")])


def parsed(liquidations: Sequence[Liquidated]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows and rejects of slots with these liquidations."""
    asked = {"logs": True, "transactionTokenBalances": True}
    slots = {one.slot: [x for x in liquidations if x.slot == one.slot] for one in liquidations}
    body = b"".join(line(slot, ones, asked) for slot, ones in sorted(slots.items()))
    [found] = parse_payloads("kamino", "liquidations", [body], request={"endpoint": "portal"})
    assert found.rejects is not None
    return found.rows, found.rejects


def test_amounts_are_those_that_moved_and_not_what_was_asked_for() -> None:
    """The instruction asks for twice the debt; 100 USDC were paid, and 0.7 SOL left the reserve, 1% of it for the protocol."""
    one = Liquidated(SLOT, 1)
    rows, rejects = parsed([one])
    assert rejects.is_empty()
    [row] = rows.iter_rows(named=True)
    assert (row["debt_token"], row["debt_amount_raw"], row["debt_amount"]) == (emulated.USDC, "100000000", 100.0)
    assert (row["collateral_token"], row["collateral_amount_raw"], row["collateral_amount"]) == (
        emulated.SOL, "700000000", 0.7,
    )  # fmt: skip
    assert row["event_id"] == f"{signature(one)}:2"
    assert (row["borrower"], row["liquidator"], row["market"]) == tuple(
        account(one, role) for role in ("obligation", "liquidator", "market")
    )
    assert row["occurred_at"] == datetime(2024, 3, 8, 12)


def test_a_reserve_without_free_liquidity_gives_shares() -> None:
    [row] = parsed([Liquidated(SLOT, 1, seized=None)])[0].iter_rows(named=True)
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (
        account(Liquidated(SLOT, 1), "share mint"),
        "650000000",
    )


def test_decimals_come_from_balances_where_transfers_state_none() -> None:
    [row] = parsed([Liquidated(SLOT, 1, checked=False)])[0].iter_rows(named=True)
    assert (row["debt_amount"], row["collateral_amount"]) == (100.0, 0.7)


def test_orders_of_the_owner_and_failed_transactions_are_no_liquidations() -> None:
    rows, rejects = parsed(
        [
            Liquidated(SLOT, 1),
            Liquidated(SLOT, 2, reason="ObligationOrder(0)"),
            Liquidated(SLOT, 3, failed=True),
            Liquidated(SLOT, 4, reason=None),
            Liquidated(SLOT + 1, 5, reason="MarketWideDeleveraging", version=1),
        ]
    )
    assert rejects.is_empty()
    assert sorted(rows["liquidator"]) == sorted(account(Liquidated(SLOT, n), "liquidator") for n in (1, 4, 5))


def test_of_several_in_a_transaction_each_has_its_own_reason_and_transfers() -> None:
    """A bot liquidates one position and carries out an order on another through its own program."""
    first = Liquidated(SLOT, 1, within=(3, 0), transaction=7)
    order = Liquidated(SLOT, 2, within=(3, 1), transaction=7, reason="ObligationOrder(1)", debt=5)
    last = Liquidated(SLOT, 3, within=(3, 2), transaction=7, debt=9)
    rows, _ = parsed([first, order, last])
    assert rows.select("event_id", "debt_amount_raw").rows() == [
        (f"{signature(first)}:3.0", "100000000"), (f"{signature(first)}:3.2", "9"),
    ]  # fmt: skip


def test_a_liquidation_without_a_transfer_is_rejected_and_another_format_refused() -> None:
    body = line(SLOT, [Liquidated(SLOT, 1)], {"logs": True})
    block = orjson.loads(body)
    block["instructions"] = block["instructions"][:1]
    [found] = parse_payloads("kamino", "liquidations", [orjson.dumps(block)], request={"endpoint": "portal"})
    assert found.rows.is_empty() and found.rejects is not None
    assert found.rejects["detail"].to_list() == ["no transfer of debt inside it"]
    with pytest.raises(SourceFormatError, match="malformed instructions"):
        parse_payloads(
            "kamino", "liquidations", [body.replace(b'"accounts"', b'"keys"')], request={"endpoint": "portal"}
        )


def test_days_over_http_are_those_of_the_chain(settings: Settings, serve: Serve, clock: Clock) -> None:
    first, last = block_of(datetime(2024, 3, 8)), block_of(datetime(2024, 3, 9)) - 1
    market = SolanaMarket(
        solana=[
            Liquidated(first - 1, 1), Liquidated(first, 2), Liquidated(SLOT, 3, failed=True),
            Liquidated(SLOT, 4, reason="ObligationOrder(0)"), Liquidated(last, 5), Liquidated(last + 1, 6),
        ]
    )  # fmt: skip
    with serve("kamino", settings=settings, market=market) as (emulator, served):
        [report] = fetch(served, "kamino", first=DAY, last=DAY, retry=FAST_RETRY, clock=clock)
        assert report.failures == {}
        streams = [hit for hit in emulator.hits if "finalized-stream" in hit.where]
    # 7,200 slots by streams of 5,000.
    assert len(streams) == 2
    rows = loaded(served, "lending_liquidations", clock=clock)
    assert sorted(rows["liquidator"]) == sorted(account(Liquidated(0, n), "liquidator") for n in (2, 5))
    assert set(rows["chain"]) == {"solana"}
    assert quarantined(served).is_empty()


def test_the_page_of_a_stream_is_read_by_its_lines() -> None:
    page = Page("*", {"endpoint": "portal"}, 200, datetime(2024, 3, 9), line(SLOT, [], {}))
    assert [block["header"]["number"] for block in page.json_lines()] == [SLOT]
