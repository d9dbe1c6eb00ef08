"""ABI decoding of event logs: static parameters to text columns; integers as decimal text, because they exceed 64 bits.

An event is one EventSpec, declared in the module of its protocol family. Logs are fetched in logs.py and nodes.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast

import polars as pl

Kind = Literal["address", "uint256", "bool", "bytes32"]

_WORD: Final = 64  # hex digits of one 32-byte word
_ADDRESS_PADDING: Final = "0" * 24
# 31 hex digits always fit Int128, and so does every amount of a real token; larger numbers are converted by Python.
_WIDE: Final = "0" * 33


@dataclass(frozen=True)
class Word:
    """One static parameter of an event. Indexed ones are topics; the others are words of `data`, in their order."""

    name: str
    kind: Kind
    indexed: bool = False


def _kind(solidity: str) -> Kind:
    if solidity.startswith("uint"):
        return "uint256"
    return "bytes32" if solidity.startswith("int") else cast("Kind", solidity)


@dataclass(frozen=True)
class EventSpec:
    """One event. `topic0` is the Keccak-256 hash of `signature`. Two events can share it and differ in which parameters are
    indexed (Venus, Compound); the number of topics distinguishes them."""

    name: str
    topic0: str
    words: tuple[Word, ...]
    signature: str = ""

    @classmethod
    def declared(cls, name: str, topic0: str, declaration: str) -> EventSpec:
        """An event from its Solidity declaration. A static struct is read as its fields; every integer fills a word, and signed
        ones are kept as their word."""
        words = tuple(
            Word(word, _kind(kind), indexed=bool(indexed))
            for kind, indexed, word in re.findall(r"(address|bool|bytes32|u?int\d+)( indexed)? (\w+)", declaration)
        )
        signature = re.sub(r"( indexed)? \w+(?=[,)])", "", declaration).replace(", ", ",")
        return cls(name, topic0, words, signature)

    @property
    def indexed(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if word.indexed)

    @property
    def data(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if not word.indexed)


PATTERNS: Final[dict[Kind, str]] = {
    "address": f"^{_ADDRESS_PADDING}[0-9a-f]{{40}}$",
    "uint256": "^[0-9a-f]{64}$",
    "bytes32": "^[0-9a-f]{64}$",
    "bool": "^0{63}[01]$",
}
"""Pattern of a word of each kind, in lower-case hex."""

LOG_COLUMNS: Final = ("address", "topics", "data", "blockNumber", "transactionHash", "logIndex")
"""Fields of a log under their JSON-RPC names; `topics` is the text of a list, quantities are 0x-hex."""

POSITION_COLUMNS: Final = ("address", "block_number", "tx_hash", "log_index")
"""Columns of every decoded log besides those of its event."""


def decoded_columns(event: EventSpec) -> tuple[str, ...]:
    """Names of the columns that `decode_logs` adds."""
    return (*POSITION_COLUMNS, *(word.name for word in event.words), "undecodable")


def decode_logs(logs: pl.DataFrame, event: EventSpec) -> pl.DataFrame:
    """Replace LOG_COLUMNS (text, one log per row) by the columns of `event`.

    Addresses and hashes are lower case, integers decimal text, booleans "true" or "false". `undecodable` is why a row does not
    follow the ABI, else null; the decoded columns of such a row must not be used. No row is dropped.
    """
    lowered = logs.with_columns(
        pl.col("topics").str.to_lowercase().str.extract_all(r"0x[0-9a-f]+").alias("topics"),
        *(pl.col(name).str.to_lowercase() for name in LOG_COLUMNS if name != "topics"),
    )
    words: dict[str, pl.Expr] = {}
    for position, word in enumerate(event.indexed, start=1):
        words[word.name] = pl.col("topics").list.get(position, null_on_oob=True).str.slice(2)
    for position, word in enumerate(event.data):
        words[word.name] = pl.col("data").str.slice(2 + position * _WORD, _WORD)
    cut = lowered.with_columns(**{f"word:{name}": expression for name, expression in words.items()})
    fault = _first_fault(event)
    columns = {word.name: value_of(cut[f"word:{word.name}"], word.kind) for word in event.words}
    return (
        cut.with_columns(
            fault.alias("undecodable"),
            pl.col("transactionHash").alias("tx_hash"),
            _quantity("blockNumber").alias("block_number"),
            _quantity("logIndex").alias("log_index"),
            **columns,
        )
        .drop([f"word:{name}" for name in words])
        .drop([name for name in LOG_COLUMNS if name != "address"])
    )


TOPIC0: Final = pl.col("topics").str.slice(0, 66).str.to_lowercase()
TOPICS: Final = pl.col("topics").str.count_matches("0x", literal=True)
"""First topic and number of topics of a log as logs.read_logs returns it: `topics` is text, separated by blanks."""


def has_topic0_of(events: Sequence[EventSpec]) -> pl.Expr:
    """Whether the first topic of a log is that of one of `events`, whatever is indexed."""
    return TOPIC0.is_in([event.topic0 for event in events])


def is_event(events: Sequence[EventSpec]) -> pl.Expr:
    """Whether the first topic and the number of topics of a log are those of one of `events`."""
    fits = ((event.topic0 == TOPIC0) & (len(event.indexed) + 1 == TOPICS) for event in events)
    return pl.any_horizontal(pl.lit(value=False), *fits)


def _quantity(column: str) -> pl.Expr:
    """A JSON-RPC quantity (0xd6aa0c) as decimal text; null if malformed."""
    return pl.col(column).str.strip_prefix("0x").str.to_integer(base=16, dtype=pl.Int64, strict=False).cast(pl.String)


def _first_fault(event: EventSpec) -> pl.Expr:
    length = 2 + len(event.data) * _WORD
    topics = len(event.indexed) + 1
    checks: list[tuple[pl.Expr, pl.Expr]] = [
        (
            pl.col("topics").list.len() != topics,
            pl.format("{} topics, not " + str(topics), pl.col("topics").list.len()),
        ),
        (
            pl.col("topics").list.get(0, null_on_oob=True) != event.topic0,
            pl.format("topic0 {} is not " + event.name, pl.col("topics").list.get(0, null_on_oob=True)),
        ),
        (
            pl.col("data").str.len_chars() != length,
            pl.format(f"data has {{}} characters, not {length}", pl.col("data").str.len_chars()),
        ),
        (~pl.col("data").str.contains(r"^0x[0-9a-f]*$"), pl.lit("data is not hexadecimal")),
        (~pl.col("transactionHash").str.contains(r"^0x[0-9a-f]{64}$"), pl.lit("transactionHash is not a 32-byte hash")),
        (~pl.col("address").str.contains(r"^0x[0-9a-f]{40}$"), pl.lit("address is not a 20-byte address")),
        *((_quantity(name).is_null(), pl.lit(f"{name} is not a quantity")) for name in ("blockNumber", "logIndex")),
    ]
    for word in event.words:
        cell = pl.col(f"word:{word.name}")
        checks.append((~cell.str.contains(PATTERNS[word.kind]), pl.lit(f"{word.name} is not an ABI {word.kind}")))
    return pl.coalesce(*(pl.when(wrong.fill_null(value=True)).then(message) for wrong, message in checks))


def value_of(words: pl.Series, kind: Kind) -> pl.Series:
    """Words of one kind as text: addresses and hashes with 0x, integers in decimal, booleans as "true" or "false"."""
    if kind == "address":
        return "0x" + words.str.slice(24)
    if kind == "bytes32":
        return "0x" + words
    if kind == "bool":
        return words.str.ends_with("1").replace_strict({True: "true", False: "false"}, return_dtype=pl.String)
    small = words.str.starts_with(_WIDE)
    decimal = words.str.to_integer(base=16, dtype=pl.Int128, strict=False).cast(pl.String)
    if small.all():
        return decimal
    return pl.Series(
        words.name,
        [
            text if fits or word is None else _python_integer(word)
            for text, fits, word in zip(decimal, small, words, strict=True)
        ],
        dtype=pl.String,
    )


def _python_integer(word: str) -> str | None:
    try:
        return str(int(word, 16))
    except ValueError:
        return None
