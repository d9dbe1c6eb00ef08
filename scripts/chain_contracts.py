"""Makes the seed chain_contracts and the list of GMX markets (gmx_markets.csv) from fact sheets, or says whether they differ.

    python -m scripts.chain_contracts FOLDER [--check] [--listed MONTH]

A contract that is in no earlier list gets the month of its listing: landings from before do not hold its events. `since` is the day
of its deployment by record, or by its block between two recorded ones of its chain, a week early; else the protocol's first.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

EVM: Final = Path(__file__).resolve().parents[1] / "pipelines" / "sources" / "chain" / "evm"
TARGET: Final = Path(__file__).resolve().parents[1] / "dbt_project" / "seeds" / "chain_contracts.csv"
MARKETS: Final = EVM / "gmx_markets.csv"
PROTOCOLS: Final[Mapping[tuple[str, str], str]] = {
    ("aave", "1"): "aave_v1",
    ("aave", "2"): "aave_v2",
    ("aave", "3"): "aave_v3",
    ("aave", "4"): "aave_v4",
    ("spark", "1"): "spark",
    ("compound", "2"): "compound_v2",
    ("compound", "3"): "compound_v3",
    ("benqi", "1"): "benqi",
    ("venus", "1"): "venus",
    ("venus_isolated", "1"): "venus_isolated",
    ("moonwell", "1"): "moonwell",
    ("morpho", "blue"): "morpho_blue",
    ("lista_moolah", "1"): "moolah",
    ("liquity", "1"): "liquity_v1",
    ("liquity", "2"): "liquity_v2",
    ("euler", "2"): "euler_v2",
    ("fluid", "1"): "fluid",
    ("crvusd", "1"): "crvusd",
    ("llamalend", "1"): "llamalend",
    ("llamalend", "2"): "llamalend",
    ("silo", "2"): "silo_v2",
}
"""The product's protocols by protocol and version of the sheet; others are not read."""

ROLES: Final = {"yes": "emits", "announces": "announces", "names tokens": "emits", "deficit only": "announces"}

NOT_READ: Final = frozenset(
    {"0x37d7306019a38af123e4b245eb6c28af552e0bb0", "0xa1a8c33c9a9a9de231b13a2271a7c09c11c849f1"}
)
"""Permissioned pools of Aave v2 (Arc, Centrifuge's): as good as no liquidations, and a request a day."""

# Two Cats until April 2021, the Dog since: from Maker's own record, which the sheet leaves out.
MAKER: Final = (
    ("0x78f2c2af65126834c51822f56be0d7469d7a523e", "2019-11-01"),
    ("0xa5679c04fc3d9d8b0aab1f0ab83555b301ca70ea", "2019-11-01"),
    ("0x135954d155898d42c90d2a57824c690e0c7bef1b", "2021-04-01"),
)

# First months that the sheet has neither a date nor a datable block for.
FIRST: Final[Mapping[tuple[str, str], str]] = {
    ("aave_v1", "ethereum"): "2020-01-01",
    ("aave_v3", "ethereum"): "2023-01-01",
    ("aave_v3", "ink"): "2025-01-01",
    ("aave_v2", "ethereum"): "2020-12-01",
    ("aave_v2", "polygon"): "2021-03-01",
    ("aave_v2", "avalanche"): "2021-10-01",
    ("compound_v2", "ethereum"): "2019-05-01",
    ("venus", "bnb"): "2020-11-01",
    ("venus_isolated", "bnb"): "2023-06-01",
    ("venus_isolated", "ethereum"): "2023-12-01",
    ("venus_isolated", "arbitrum"): "2024-05-01",
    ("venus_isolated", "optimism"): "2024-08-01",
    ("venus_isolated", "base"): "2024-11-01",
    ("venus_isolated", "zksync"): "2024-08-01",
    ("venus_isolated", "unichain"): "2025-01-01",
    ("moonwell", "base"): "2023-08-01",
    ("moonwell", "optimism"): "2024-06-01",
    ("moonwell", "ethereum"): "2025-06-01",
    ("moonwell", "moonbeam"): "2022-06-01",
    ("moonwell", "moonriver"): "2022-02-01",
    ("euler_v2", "ethereum"): "2024-08-01",
    ("fluid", "arbitrum"): "2024-06-01",
    ("silo_v2", "sonic"): "2025-01-01",
    ("silo_v2", "arbitrum"): "2025-05-01",
    ("silo_v2", "avalanche"): "2025-06-01",
    ("silo_v2", "optimism"): "2025-01-01",
    ("silo_v2", "ink"): "2025-01-01",
    ("venus_isolated", "opbnb"): "2024-02-01",
}

# Where the sheet has the day of an adapter, not of the contract.
CORRECTED: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("aave_v3", "optimism"): ("2022-08-05", "2022-03-11"),
}
"""By protocol and chain: the day of the sheet, and the right one."""

LATE: Final = {
    ("aave", "optimism"),
    *(
        (name, chain)
        for name in ("euler", "silo")
        for chain in (
            "arbitrum",
            "avalanche",
            "base",
            "berachain",
            "bnb",
            "bob",
            "ethereum",
            "linea",
            "megaeth",
            "monad",
            "plasma",
            "sonic",
            "swellchain",
            "tac",
            "unichain",
            "xdc",
        )
    ),
}
"""Protocols on chains whose days are those of an adapter."""

Row = Mapping[str, str]


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def anchors(sheet: Sequence[Row]) -> dict[str, list[tuple[int, date]]]:
    """Blocks with their days, by chain, in order. Days of adapters, which begin later than the contract, are no anchors."""
    found: dict[str, list[tuple[int, date]]] = defaultdict(list)
    for row in sorted(sheet, key=lambda row: int(row["deployed_block"] or 0)):
        if row["deployed_block"] and row["deployed_date"] and (row["protocol"], row["chain"]) not in LATE:
            pair = (int(row["deployed_block"]), date.fromisoformat(row["deployed_date"]))
            if not found[row["chain"]] or found[row["chain"]][-1][1] <= pair[1]:
                found[row["chain"]].append(pair)
    return found


def dated(block: int, known: Sequence[tuple[int, date]]) -> date | None:
    """The day of a block between two known ones, a week early; None outside of them."""
    for (low, first), (high, last) in pairwise(known):
        if low <= block <= high and high > low:
            days = (last - first).days * (block - low) // (high - low)
            return max(first, first + timedelta(days=days - 7))
    return None


def rows_of(sheet: Sequence[Row], held: Sequence[Row], month: str) -> list[dict[str, str]]:
    known = anchors(sheet)
    listed = {(row["protocol"], row["chain"], row["contract"]): row["listed"] for row in held}
    firsts: dict[str, str] = {}
    for row in sheet:
        name = PROTOCOLS.get((row["protocol"], row["version"]))
        if name and row["deployed_date"]:
            firsts[name] = min(firsts.get(name, "9999"), row["deployed_date"])
    rows = []
    for row in sheet:
        name = PROTOCOLS.get((row["protocol"], row["version"]))
        role = ROLES.get(row["emits"])
        if name is None or role is None or row["contract"] in NOT_READ:
            continue
        by_block = dated(int(row["deployed_block"]), known[row["chain"]]) if row["deployed_block"] else None
        since = row["deployed_date"] or (by_block.isoformat() if by_block else "")
        wrong, right = CORRECTED.get((name, row["chain"]), ("", ""))
        since = right if since and since == wrong else since
        first = FIRST.get((name, row["chain"]), "")
        # An interpolated day is never later than the recorded first month of a protocol with one market or few.
        since = (
            min(since, first) if since and first and not row["deployed_date"] and row["emits"] == "announces" else since
        )
        since = since or first or firsts.get(name, "")
        if (row["protocol"], row["chain"]) in LATE and row["emits"] == "announces":
            # What it announced before the adapter began is needed.
            floor = min([firsts.get(name, since), *(day for (one, _), day in FIRST.items() if one == name)])
            since = max(floor, (date.fromisoformat(since) - timedelta(days=120)).isoformat())
        elif "adapter" in row["date_note"]:
            since = (date.fromisoformat(since) - timedelta(days=14)).isoformat()
        rows.append(
            {
                "protocol": name, "chain": row["chain"], "contract": row["contract"], "role": role, "token": row["token"],
                "block": row["deployed_block"], "since": since,
                "listed": listed.get((name, row["chain"], row["contract"]), month), "market": row["market"].replace("'", ""),
            }
        )  # fmt: skip
    rows += [
        {"protocol": "maker", "chain": "ethereum", "contract": contract, "role": "emits", "token": "", "block": "",
         "since": since, "listed": "", "market": ""}
        for contract, since in MAKER
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["protocol"], row["chain"], row["role"], row["contract"]))


def markets_of(sheet: Sequence[Row], held: Sequence[Row]) -> list[dict[str, str]]:
    """Markets of GMX v2 with positions. A market keeps the name it has had: it is an instrument."""
    names = {(row["chain"], row["market"]): row["name"] for row in held}
    rows = []
    for row in sheet:
        if row["spot_only"] == "yes":
            continue
        pools = re.findall(r"[^\[\]/-]+", row["label"].partition("[")[2])
        # XAUt0 is XAUT, bridged.
        index = re.sub("t0$", "T", row["index_symbol"])
        name = f"{index}/USD:{pools[0]}-{pools[-1]}"
        name = names.get((row["chain"], row["market"]), name)
        rows.append(
            {
                "chain": row["chain"],
                "market": row["market"].replace("'", ""),
                "name": name,
                "decimals": row["index_decimals"],
            }
        )
    return sorted(rows, key=lambda row: (row["chain"], row["name"], row["market"]))


def rendered(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="folder with emitters.csv")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the list differs")
    parser.add_argument("--listed", default="", help="month in which new contracts were listed, as 2026-11")
    given = parser.parse_args()
    held = read(TARGET) if TARGET.exists() else []
    made = {
        TARGET: rendered(rows_of(read(given.folder / "emitters.csv"), held, given.listed)),
        MARKETS: rendered(
            markets_of(read(given.folder / "gmx_markets.csv"), read(MARKETS) if MARKETS.exists() else [])
        ),
    }
    differing = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if not given.check:
        for path in differing:
            path.write_text(made[path], encoding="utf-8")
    names = ", ".join(path.name for path in differing) or "nothing"
    sys.stdout.write(f"{names} {'differs' if given.check else 'was written'}\n")
    return 1 if given.check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
