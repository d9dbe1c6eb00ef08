"""Event logs of EVM chains to columns: ABI static words decoded, integers as decimal text because they exceed 64 bits.

An event is one EventSpec; adding a protocol is adding one. Fetching logs, token decimals and prices live elsewhere.
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
# Int128 holds 31 hex digits for certain; every amount of a real token fits, and what does not goes through Python.
_WIDE: Final = "0" * 33


@dataclass(frozen=True)
class Word:
    """One static parameter of an event: an indexed one is a topic, the others are words of `data` in their order."""

    name: str
    kind: Kind
    indexed: bool = False


@dataclass(frozen=True)
class EventSpec:
    """One event by its signature hash. Two events may share the hash and differ in what is indexed (Venus, Compound):
    the number of topics tells them apart. `topic0` is the Keccak-256 of `signature`."""

    name: str
    topic0: str
    words: tuple[Word, ...]
    signature: str = ""

    @classmethod
    def declared(cls, name: str, topic0: str, declaration: str) -> EventSpec:
        """An event by its declaration in Solidity. Static structs count as their fields; smaller integers fill a word too."""
        words = tuple(
            Word(word, cast("Kind", "uint256" if kind.startswith("uint") else kind), indexed=bool(indexed))
            for kind, indexed, word in re.findall(r"(address|bool|bytes32|uint\d+)( indexed)? (\w+)", declaration)
        )
        signature = re.sub(r"( indexed)? \w+(?=[,)])", "", declaration).replace(", ", ",")
        return cls(name, topic0, words, signature)

    @property
    def indexed(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if word.indexed)

    @property
    def data(self) -> tuple[Word, ...]:
        return tuple(word for word in self.words if not word.indexed)


# Aave v2, Aave v3, Spark: the pool. v3's collateral is net of the protocol's fee.
AAVE_LIQUIDATION_CALL: Final = EventSpec.declared(
    "aave_liquidation_call",
    "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286",
    "LiquidationCall(address indexed collateral_asset, address indexed debt_asset, address indexed user, "
    "uint256 debt_to_cover, uint256 liquidated_collateral_amount, address liquidator, bool receive_atoken)",
)

EVENTS: Final = {event.name: event for event in (AAVE_LIQUIDATION_CALL,)}

PATTERNS: Final[dict[Kind, str]] = {
    "address": f"^{_ADDRESS_PADDING}[0-9a-f]{{40}}$",
    "uint256": "^[0-9a-f]{64}$",
    "bytes32": "^[0-9a-f]{64}$",
    "bool": "^0{63}[01]$",
}
"""What a word of each kind looks like in lower-case hex."""

LOG_COLUMNS: Final = ("address", "topics", "data", "blockNumber", "transactionHash", "logIndex")
"""What a log carries, as JSON-RPC names it; `topics` as the text of a list, quantities as 0x-hex."""

PLACE_COLUMNS: Final = ("address", "block_number", "tx_hash", "log_index")
"""Columns every decoded log has beside those of its event."""


def decoded_columns(event: EventSpec) -> tuple[str, ...]:
    """Names of the columns `decode_logs` adds."""
    return (*PLACE_COLUMNS, *(word.name for word in event.words), "undecodable")


def decode_logs(logs: pl.DataFrame, event: EventSpec) -> pl.DataFrame:
    """`logs` (LOG_COLUMNS as text, one log per row) with the columns of `event` instead of LOG_COLUMNS.

    Addresses and hashes are lower case, integers decimal text, booleans true or false. `undecodable` says why a row
    does not follow the ABI (null where it does); its decoded columns are then not to be used. No row is dropped.
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
"""The first topic of a landed log, and how many it has; `topics` is the text of their list with blanks between."""


def names_event(events: Sequence[EventSpec]) -> pl.Expr:
    """Whether a landed log has the hash of one of `events`. Events of other shapes may have the same."""
    return TOPIC0.is_in([event.topic0 for event in events])


def is_event(events: Sequence[EventSpec]) -> pl.Expr:
    """Whether a landed log has the hash of one of `events`, and as many topics."""
    fits = ((event.topic0 == TOPIC0) & (len(event.indexed) + 1 == TOPICS) for event in events)
    return pl.any_horizontal(pl.lit(value=False), *fits)


def _quantity(column: str) -> pl.Expr:
    """A JSON-RPC quantity (0xd6aa0c) as decimal text; null where it is none."""
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
    """Words of one kind as text: addresses and hashes with 0x, integers decimal, booleans true or false."""
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
