"""The seeds of tokens are what the script makes of the fact sheet, and what it works out is right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts.token_registry import AS_OF, SEEDS, registry, seeds


def test_the_seeds_are_those_of_the_fact_sheet(reference_dir: Path) -> None:
    for name, content in seeds(reference_dir).items():
        assert (SEEDS / name).read_text(encoding="utf-8") == content, (
            f"run python -m scripts.token_registry {reference_dir}"
        )


def test_the_seed_says_of_which_day_it_is() -> None:
    assert f"as of {AS_OF}" in (SEEDS / "seeds.yml").read_text(encoding="utf-8")


def token(name: str, kind: str, *, asset: str = "", underlying: str = "", records: int = 1) -> Mapping[str, str]:
    return {
        "chain": "base", "token": f"0x{name}", "symbol": name, "decimals": "18", "asset": asset, "kind": kind,
        "underlying": underlying, "records": str(records),
    }  # fmt: skip


def test_claims_are_followed_to_what_they_are_worth() -> None:
    rows = registry(
        [
            token("usd", "stable", asset="USD"),
            token("vault", "vault_share", asset="SUSD", underlying="0xusd"),
            token("pt", "pt", underlying="0xvault"),
            token("eth", "native_wrapped", asset="ETH"),
            token("pteth", "pt", underlying="0xeth"),
            token("lp", "lp"),
            token("dark", "pt", underlying="0xnobody"),
            # The same savings token elsewhere, whose underlying is not on record there.
            token("bridged", "vault_share", asset="SUSD"),
        ]
    )
    assert {row["symbol"]: row["is_stable"] for row in rows} == {
        "usd": "true", "vault": "true", "pt": "true", "eth": "false", "pteth": "false", "lp": "", "dark": "",
        "bridged": "true",
    }  # fmt: skip


def test_of_tokens_with_one_symbol_the_best_known_keeps_it() -> None:
    few, many = token("a", "stable", records=1), {**token("b", "stable", records=3), "symbol": "A"}
    assert [row["symbol"] for row in registry([few, {**many, "token": "0x0123456789"}])] == ["a.a", "A"]
