"""Base58, in which Solana writes addresses, signatures and data: Bitcoin's alphabet, big-endian, a leading 1 for a zero byte."""

from __future__ import annotations

from typing import Final

ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

_VALUES: Final = {letter: value for value, letter in enumerate(ALPHABET)}

ADDRESS: Final = f"[{ALPHABET}]{{32,44}}"
"""Regular expression of an address: 32 bytes. Letters differ by case, so none is changed."""


def decoded(text: str) -> bytes:
    """The bytes of a text. Raises ValueError naming a letter that is none of the alphabet."""
    number = 0
    for letter in text:
        if letter not in _VALUES:
            raise ValueError(f"{letter!r} is no letter of base58")
        number = number * 58 + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def encoded(data: bytes) -> str:
    """The text of some bytes."""
    number, letters = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        letters = ALPHABET[rest] + letters
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + letters
