"""Metadata of tokens that events name and the token registry does not list: symbol(), decimals() and underlying().

Read from a node, if the settings define one. Enrichment only: events neither wait for it nor depend on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Page
from pipelines.sources.chain.evm.logs import method_of
from pipelines.sources.records import LINE
from pipelines.sources.tokens import NATIVE, receipts, registered

TABLE: Final = "tokens"

SYMBOL: Final = "0x95d89b41"
DECIMALS: Final = "0x313ce567"
UNDERLYING: Final = "0x6f307dc3"
SELECTORS: Final = (SYMBOL, DECIMALS, UNDERLYING)

MAX_DECIMALS: Final = 77
"""With more, one whole token would exceed 256 bits."""

_WORD: Final = 64

SCHEMA: Final[dict[str, pl.DataType]] = {
    "chain": pl.String(),
    "token": pl.String(),
    "named_at": pl.Datetime("us"),
    "symbol": pl.String(),
    "decimals": pl.Int32(),
    "underlying_token": pl.String(),
    "read_at": pl.Datetime("us"),
    "available_at": pl.Datetime("us"),
    LINE: pl.Int64(),
}


def unregistered(chain: str, events: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Contracts in rows of events that the registry does not list, with the time of the first event: token, named_at.

    A market stands in for its debt token if that is unknown.
    """
    known = registered().filter(chain=chain)["token"].to_list() + receipts().filter(chain=chain)["token"].to_list()
    columns = [
        frame.select(
            pl.when(pl.col("debt_token").is_null() & pl.col("debt_amount_raw").is_not_null()).then("market").otherwise(name)
            .alias("token")
            if name == "debt_token"
            else pl.col(name).alias("token"),
            pl.col("occurred_at").alias("named_at"),
        )
        for frame in events
        for name in ("collateral_token", "debt_token")
        if name in frame.columns
    ]  # fmt: skip
    return (
        pl.concat(columns)
        .filter(pl.col("token").str.contains("^0x[0-9a-f]{40}$"), ~pl.col("token").is_in([*known, NATIVE]))
        .group_by("token")
        .agg(pl.col("named_at").min())
        .sort("token")
    )


def calls(tokens: Sequence[str]) -> list[Mapping[str, Any]]:
    """Parameters of eth_call: every function of SELECTORS on every token."""
    return [{"to": token, "data": selector} for token in tokens for selector in SELECTORS]


def read_tokens(pages: Iterable[Page], chain: str, names: pl.DataFrame) -> pl.DataFrame:
    """Rows of clean.tokens (SCHEMA) from the answers to `calls`, for the tokens in `names` (columns token, named_at).

    A reverted call leaves its column null; a token whose calls all revert has no row.
    """
    results: dict[str, dict[str, str]] = {}
    read_at: dict[str, datetime] = {}
    for page in pages:
        if method_of(page) == "eth_call":
            for token, selector, data in _answers(page):
                results.setdefault(token, {})[selector] = data
                read_at[token] = page.received_at
    first: dict[str, datetime] = dict(names.iter_rows())
    rows = [
        {
            "chain": chain,
            "token": token,
            "named_at": first[token],
            "symbol": text_of(found.get(SYMBOL, "")),
            "decimals": decimals_of(found.get(DECIMALS, "")),
            "underlying_token": address_of(found.get(UNDERLYING, "")),
            "read_at": read_at[token],
            "available_at": read_at[token],
            LINE: number,
        }
        for number, (token, found) in enumerate(sorted(results.items()), start=1)
        if token in first
    ]
    frame = pl.DataFrame(rows, schema=SCHEMA)
    return frame.filter(pl.any_horizontal(pl.col("symbol", "decimals", "underlying_token").is_not_null()))


def _answers(page: Page) -> Iterator[tuple[str, str, str]]:
    """Token, selector and hexadecimal result of every successful call of a page."""
    body, answer = page.request["body"], page.json()
    requests = body if isinstance(body, list) else [body]
    responses = answer if isinstance(answer, list) else [answer]
    try:
        results = {response["id"]: response.get("result") for response in responses}
        for request in requests:
            data = results.get(request["id"])
            if isinstance(data, str):
                call = request["params"][0]
                yield call["to"], call["data"], data.removeprefix("0x").lower()
    except (KeyError, TypeError, IndexError) as error:
        raise SourceFormatError(f"{page.where}: malformed answers to eth_call ({error!r}): {page.excerpt}") from error


def text_of(data: str) -> str | None:
    """An ABI string, or 32 bytes as old tokens (MKR) return; None if the hexadecimal `data` is neither or not printable."""
    try:
        raw = bytes.fromhex(data)
        if len(raw) == 32:
            return raw.rstrip(b"\0").decode() or None
        offset, length = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big")
        if offset != 32 or len(raw) < 64 + length:
            return None
        text = raw[64 : 64 + length].decode()
    except ValueError:
        return None
    return text if text.isprintable() and text.strip() else None


def decimals_of(data: str) -> int | None:
    """Decimals from one word; None if it is malformed or above MAX_DECIMALS. Never a default."""
    if len(data) != _WORD:
        return None
    try:
        number = int(data, 16)
    except ValueError:
        return None
    return number if number <= MAX_DECIMALS else None


def address_of(data: str) -> str | None:
    """An address from one word; None if it is malformed or the zero address."""
    if len(data) != _WORD or data[:24].strip("0") or not data[24:].strip("0"):
        return None
    return f"0x{data[24:]}"
