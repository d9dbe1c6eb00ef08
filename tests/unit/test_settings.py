"""A setting that is misspelt or wrong is refused at the start, with the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings
from pipelines.sources.registry import check_endpoints, venue

pytestmark = pytest.mark.usefixtures("warehouse_home")


@pytest.mark.parametrize(
    ("name", "right"), [("LEVERHOUSE_VENUE", "LEVERHOUSE_VENUES"), ("LEVERHOUSE_HOEM", "LEVERHOUSE_HOME")]
)
def test_an_unknown_variable_is_refused_with_the_nearest_one(
    name: str, right: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match=rf"there is no {name}. Did you mean {right}\?"):
        Settings.load()


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "a\u2028b", "\udcff", "a?b"])
def test_a_home_with_a_name_that_nothing_can_show_or_duckdb_misreads_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERHOUSE_HOME", str(tmp_path / name / "home"))
    with pytest.raises(ConfigError, match=r"LEVERHOUSE_HOME: .*name another") as refused:
        Settings.load()
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("content", [b"home = ", b"\xff\xfe"])
def test_a_settings_file_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    class Mine(Settings):
        model_config = SettingsConfigDict(**{**Settings.model_config, "toml_file": tmp_path / "leverhouse.toml"})

    (tmp_path / "leverhouse.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"leverhouse\.toml cannot be read"):
        Mine.load()


@pytest.mark.parametrize("address", ["api.bybit.com", "ftp://host", "https://?key=abc", "http//host"])
def test_an_address_that_is_none_is_refused_and_not_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERHOUSE_ENDPOINTS", f'{{"bybit.api": "{address}"}}')
    with pytest.raises(ConfigError, match=r"bybit\.api is no address") as refused:
        Settings.load()
    assert address not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("bybit.apo", r"bybit has no endpoint 'apo'.*Did you mean api\?"),
        ("bybitt.api", r"unknown venue 'bybitt'.*Did you mean bybit\?"),
        ("evm_ethereum.rcp", "evm_ethereum has no endpoint 'rcp'"),
    ],
)
def test_an_address_of_an_endpoint_that_does_not_exist_is_refused(key: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_endpoints(Settings(endpoints={key: "http://127.0.0.1:9"}))


@pytest.mark.parametrize("key", ["evm_base.rpc", "evm_base.rpc_2", "evm_base.rpc_10", "hyperliquid_fills.node"])
def test_an_optional_endpoint_is_accepted(key: str) -> None:
    check_endpoints(Settings(endpoints={key: "http://127.0.0.1:9"}))


def test_a_misspelt_venue_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean hyperliquid\?"):
        venue("hyperliqiud")
