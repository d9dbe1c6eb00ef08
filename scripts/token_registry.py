"""Makes the seeds token_registry and receipt_tokens from the fact sheet tokens.csv, or says where they differ from it.

    python -m scripts.token_registry FOLDER [--check]

The sheet states chain, token, symbol, decimals, asset, kind and underlying by public records; AS_OF is the newest of them. What a
token is worth follows from `is_stable`, which is worked out here through claims on claims (a PT of a vault of a stable).
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

SEEDS: Final = Path(__file__).resolve().parents[1] / "dbt_project" / "seeds"
AS_OF: Final = date(2026, 8, 22)

CLAIMS: Final = frozenset({"vault_share", "pt", "receipt"})
COINS: Final = frozenset({"native", "native_wrapped", "wrapped_btc", "lst", "lrt", "governance"})
NATIVE: Final = "0x" + "e" * 40

Token = Mapping[str, str]

SOLANA: Final = (
    ("So11111111111111111111111111111111111111112", "SOL", "9", "SOL", "native_wrapped"),
    ("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", "USDC", "6", "USDC", "stable"),
    ("Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", "USDT", "6", "USDT", "stable"),
    ("2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo", "PYUSD", "6", "PYUSD", "stable"),
    ("J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn", "JitoSOL", "9", "JITOSOL", "lst"),
    ("mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So", "mSOL", "9", "MSOL", "lst"),
    ("cbbtcf3aa214zXHbiAZQwf4122FBYbraNdFqgw4iMij", "cbBTC", "8", "BTC", "wrapped_btc"),
)
"""Tokens of Solana, which the sheet does not have: mint, symbol, decimals, asset, kind. Others are priced by their mint."""

Key = tuple[str, str]


def read(folder: Path) -> list[Token]:
    names = ("token", "symbol", "decimals", "asset", "kind")
    with (folder / "tokens.csv").open(encoding="utf-8", newline="") as file:
        listed: list[Token] = list(csv.DictReader(file))
    return [
        *listed,
        *({"chain": "solana", "underlying": "", "records": "1"} | dict(zip(names, one, strict=True)) for one in SOLANA),
    ]


def registry(tokens: Sequence[Token]) -> list[dict[str, str]]:
    """Rows of the seed token_registry. Where tokens of a chain share a symbol, the one with the most records keeps it, and
    the others get a part of their address: sources without addresses are matched by symbol."""
    owner: dict[Key, Token] = {}
    for row in sorted(tokens, key=lambda row: -int(row["records"])):
        owner.setdefault((row["chain"], row["symbol"].lower()), row)
    known = {(row["chain"], row["token"]): row for row in tokens}
    by_asset = {
        row["asset"]: stable
        for row in tokens
        if row["asset"] and row["kind"] in CLAIMS and (stable := is_stable(row, known, {})) is not None
    }
    return [
        {
            "chain": row["chain"],
            "token": row["token"],
            "symbol": row["symbol"]
            if owner[row["chain"], row["symbol"].lower()] is row
            else f"{row['symbol']}.{row['token'][2:8]}",
            "asset": row["asset"],
            "decimals": row["decimals"],
            "kind": "native" if row["token"] == NATIVE else row["kind"],
            "underlying": row["underlying"],
            "is_stable": "" if (stable := is_stable(row, known, by_asset)) is None else str(stable).lower(),
        }
        for row in tokens
    ]


def is_stable(token: Token, known: Mapping[Key, Token], by_asset: Mapping[str, bool]) -> bool | None:
    """Whether a token follows a currency, by its kind or by what it is a claim on; None where that is not on record."""
    if token["kind"] == "stable":
        return True
    if token["kind"] in COINS or (token["kind"] == "other" and token["asset"]):
        return False
    if token["kind"] not in CLAIMS:
        return None
    below = known.get((token["chain"], token["underlying"]))
    if below is not None and below is not token:
        return is_stable(below, known, by_asset)
    return by_asset.get(token["asset"])


def receipts(tokens: Sequence[Token], held: Sequence[Token]) -> list[dict[str, str]]:
    """Rows of the seed receipt_tokens: the sheet's, then those it does not have."""
    stated = {
        (row["chain"], row["token"]): row["underlying"]
        for row in tokens
        if row["kind"] == "receipt" and row["underlying"]
    }
    rest = {(row["chain"], row["token"]): row["underlying_token"] for row in held}
    return [
        {"chain": chain, "token": token, "underlying_token": underlying}
        for (chain, token), underlying in {
            **stated,
            **{key: value for key, value in rest.items() if key not in stated},
        }.items()
    ]


def rendered(rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def seeds(folder: Path) -> dict[str, str]:
    """Content of the seeds by file name."""
    tokens = read(folder)
    with (SEEDS / "receipt_tokens.csv").open(encoding="utf-8", newline="") as file:
        held = list(csv.DictReader(file))
    return {
        "token_registry.csv": rendered(registry(tokens)),
        "receipt_tokens.csv": rendered(receipts(tokens, held)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder with tokens.csv")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a seed differs")
    given = parser.parse_args()
    differing = []
    for name, content in seeds(given.folder).items():
        path = SEEDS / name
        if path.read_text(encoding="utf-8") == content:
            continue
        differing.append(name)
        if not given.check:
            path.write_text(content, encoding="utf-8")
    sys.stdout.write(
        f"{', '.join(differing) or 'nothing'} {'differs' if given.check else 'written'}; facts as of {AS_OF}\n"
    )
    return 1 if given.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
