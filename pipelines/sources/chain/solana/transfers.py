"""Transfers of the two token programs, from the instructions that carried them out.

Layout: solana-program/token and token-2022 (instruction.rs): a tag of one byte, then little-endian numbers. Of an instruction
that failed nothing happened; callers leave out transactions that did not succeed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipelines.sources.chain.solana.base58 import decoded

TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - an address
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"  # noqa: S105 - an address

_TRANSFER, _TRANSFER_CHECKED, _FEE_EXTENSION = 3, 12, 26
_WITH_FEE: Final = 1
"""The extension's transfer that names its fee."""


@dataclass(frozen=True)
class Transfer:
    """An amount in the token's smallest unit. `decimals` where the instruction says them. With a fee, `amount` is what left the
    source; the target got less."""

    source: str
    target: str
    amount: int
    decimals: int | None


def transfers(instructions: Iterable[Mapping[str, Any]]) -> list[Transfer]:
    """The transfers among some instructions (programId, accounts, data in base58), in their order.

    Raises KeyError, TypeError or ValueError for an instruction that lacks a field or is shorter than its tag says.
    """
    found = [
        _transfer(one["accounts"], decoded(one["data"]))
        for one in instructions
        if one["programId"] in (TOKEN, TOKEN_2022)
    ]
    return [one for one in found if one is not None]


def _transfer(accounts: Sequence[str], data: bytes) -> Transfer | None:
    """The transfer that an instruction is, or None for another one (burn, mint, close)."""
    tag = data[0] if data else None
    if tag == _TRANSFER:
        return Transfer(accounts[0], accounts[1], _amount(data, 1), None)
    if tag == _TRANSFER_CHECKED:
        return Transfer(accounts[0], accounts[2], _amount(data, 1), data[9])
    if tag == _FEE_EXTENSION and data[1] == _WITH_FEE:
        return Transfer(accounts[0], accounts[2], _amount(data, 2), data[10])
    return None


def _amount(data: bytes, start: int) -> int:
    if len(data) < start + 8:
        raise ValueError(f"a transfer of {len(data)} bytes has no amount")
    return int.from_bytes(data[start : start + 8], "little")
