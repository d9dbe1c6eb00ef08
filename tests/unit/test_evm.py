"""Event logs decoded from topics and data."""

from __future__ import annotations

import json

import polars as pl
import pytest

from pipelines.sources.chain.evm.aave import LIQUIDATION_CALL
from pipelines.sources.chain.evm.abi import decode_logs, decoded_columns
from pipelines.sources.files.mapping import EVENTS

POOL = "0x" + "ab" * 20
TX = "0x" + "cd" * 32


def word(value: int | str) -> str:
    return f"{value:064x}" if isinstance(value, int) else value.rjust(64, "0")


def log(**changes: str) -> dict[str, str]:
    """A LiquidationCall of 1,000 debt for 5 collateral by liquidator 0x…04, with `changes`."""
    return {
        "address": POOL,
        "topics": json.dumps([LIQUIDATION_CALL.topic0, *("0x" + word(f"{n:02}" * 20) for n in (1, 2, 3))]),
        "data": "0x" + word(1000) + word(5) + word("04" * 20) + word(1),
        "blockNumber": "0xd6aa0c",
        "transactionHash": TX,
        "logIndex": "0x1a",
        **changes,
    }


def decode(*logs: dict[str, str]) -> pl.DataFrame:
    return decode_logs(pl.DataFrame(list(logs)), LIQUIDATION_CALL)


def test_a_liquidation_call_decodes_to_addresses_integers_and_its_log_position() -> None:
    [row] = decode(log()).to_dicts()
    assert row == {
        "address": POOL,
        "block_number": "14068236",
        "tx_hash": TX,
        "log_index": "26",
        "collateral_asset": "0x" + "01" * 20,
        "debt_asset": "0x" + "02" * 20,
        "user": "0x" + "03" * 20,
        "debt_to_cover": "1000",
        "liquidated_collateral_amount": "5",
        "liquidator": "0x" + "04" * 20,
        "receive_atoken": "true",
        "undecodable": None,
    }
    assert set(row) == set(decoded_columns(LIQUIDATION_CALL))


@pytest.mark.parametrize("value", [0, 1, 2**63, 2**64, 2**96 - 1, 2**123, 2**124 - 1, 2**127 - 1, 2**128, 2**256 - 1])
def test_integers_keep_every_digit(value: int) -> None:
    [row] = decode(log(data="0x" + word(value) + word(5) + word("04" * 20) + word(0))).to_dicts()
    assert row["debt_to_cover"] == str(value)
    assert row["undecodable"] is None


def test_large_and_small_integers_decode_together() -> None:
    rows = decode(*(log(data="0x" + word(v) + word(v) + word("04" * 20) + word(0)) for v in (7, 2**200, 0)))
    assert rows["debt_to_cover"].to_list() == ["7", str(2**200), "0"]


def test_upper_case_hex_is_the_same_log() -> None:
    upper_case = {name: text.upper().replace("0X", "0x") for name, text in log().items()}
    assert decode(upper_case).equals(decode(log()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"topics": json.dumps([LIQUIDATION_CALL.topic0])}, "1 topics, not 4"),
        ({"topics": json.dumps(["0x" + "00" * 32, *["0x" + word(1)] * 3])}, "is not aave_liquidation_call"),
        ({"topics": "nonsense"}, "0 topics, not 4"),
        (
            {"topics": json.dumps([LIQUIDATION_CALL.topic0, *["0x" + "f" * 64] * 3])},
            "collateral_asset is not an ABI address",
        ),
        ({"data": "0x"}, "data has 2 characters, not 258"),
        ({"data": "0x" + "zz" * 128}, "data is not hexadecimal"),
        ({"data": "0x" + word(1) + word(1) + word(1) + word(2)}, "receive_atoken is not an ABI bool"),
        ({"transactionHash": "0x12"}, "transactionHash is not a 32-byte hash"),
        ({"address": "0x12"}, "address is not a 20-byte address"),
        ({"blockNumber": "x"}, "blockNumber is not a quantity"),
        ({"logIndex": ""}, "logIndex is not a quantity"),
    ],
)
def test_a_log_that_does_not_match_the_abi_is_kept_with_the_reason(change: dict[str, str], message: str) -> None:
    rows = decode(log(**change), log())
    assert rows.height == 2
    assert message in rows["undecodable"][0]
    assert rows["undecodable"][1] is None


def test_a_log_with_nulls_is_undecodable() -> None:
    rows = decode_logs(
        pl.DataFrame([log(), dict.fromkeys(log())], schema=dict.fromkeys(log(), pl.String())), LIQUIDATION_CALL
    )
    assert rows["undecodable"].is_null().to_list() == [True, False]


def test_events_are_found_by_their_names() -> None:
    assert EVENTS["aave_liquidation_call"] is LIQUIDATION_CALL
    assert [word.name for word in LIQUIDATION_CALL.indexed] == ["collateral_asset", "debt_asset", "user"]
