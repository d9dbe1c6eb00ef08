"""A setting that is misspelt or wrong is refused at the start, with the nearest right word."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from pipelines.core import redaction
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


@pytest.mark.parametrize(
    "address",
    [
        "api.bybit.com",
        "ftp://host",
        "https://?key=abc",
        "http//host",
        "http://[::1",
        "http://host:port",
        "https://host:0",
        "http://ho st/",
        "http://host:99999",
        "file://host/folder",
        "file:folder",
        "https://host\\path",
        "https://ho\x1bst",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERHOUSE_ENDPOINTS", json.dumps({"bybit.api": address}))
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


@pytest.mark.parametrize("name", ["leverhouse_homee", "Leverhouse_Venuess", "LEVERHOUSE_ENDPOINTS__bybit"])
def test_an_unknown_variable_is_refused_in_any_case(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match=f"there is no {name}. Did you mean LEVERHOUSE_"):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ENDPOINTS", "{bybit.api: https://host/pl4nted-key}", "it is no JSON object of addresses"),
        ("ENDPOINTS", '{"https://host/pl4nted-key": "bybit.api"}', "a name under endpoints is not <venue>.<endpoint>"),
        (
            "ENDPOINTS",
            '{"bybit.api": ["https://host/pl4nted-key"]}',
            "LEVERHOUSE_ENDPOINTS: Input should be a valid string",
        ),
        ("DUCKDB_MEMORY", "lots of pl4nted-key", "write a number and its unit"),
        ("LOCK_TIMEOUT_SECONDS", "nan", "LEVERHOUSE_LOCK_TIMEOUT_SECONDS: Input should be"),
        ("LOCK_TIMEOUT_SECONDS", "inf", "LEVERHOUSE_LOCK_TIMEOUT_SECONDS: Input should be"),
        ("CONTACT", "a@b\r\nX-Key: pl4nted-key", "it is sent in a header"),
        ("ASSETS", "BTC,../ETH", "'../ETH' is no asset"),
    ],
)
def test_a_wrong_value_is_refused_in_words_and_never_shown_whole(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LEVERHOUSE_{name}", value)
    with pytest.raises(ConfigError) as refused:
        Settings.load()
    assert message in str(refused.value)
    assert refused.value.exit_code == 78
    assert "pl4nted" not in redaction.format_error(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('venuess = ["bybit"]', r"there is no LEVERHOUSE_VENUESS. Did you mean LEVERHOUSE_VENUES\?"),
        ("venues = [bybit", "it is no TOML"),
        ('[endpoints]\n"bybit.api" = "https://"', "bybit.api is no address"),
    ],
)
def test_a_file_of_settings_is_refused_like_a_variable(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VENUES", "ENDPOINTS"):
        monkeypatch.delenv(f"LEVERHOUSE_{name}")
    file = tmp_path / "leverhouse.toml"
    file.write_text(text)
    monkeypatch.setitem(Settings.model_config, "toml_file", file)
    with pytest.raises(ConfigError, match=message):
        Settings.load()


def test_what_an_address_holds_is_kept_out_of_every_text(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = {
        "evm_ethereum.rpc": "https://own3r:passw0rd@eth.example/v2/pl4nted-key-1/?apikey=pl4nted%26key%3D2",
        "evm_ethereum.rpc_2": "https://eth-mainnet.example/v3/rpc",
    }
    monkeypatch.setenv("LEVERHOUSE_ENDPOINTS", json.dumps(addresses))
    settings = Settings.load()
    assert "pl4nted" not in repr(settings)
    text = (
        "GET /v2/pl4nted-key-1/ own3r passw0rd 'pl4nted&key=2' pl4nted%26key%3d2 pl4nted\\u0026key=2 "
        "from /v3/rpc of evm_ethereum.rpc_2"
    )
    shown = redaction.redact(text)
    assert shown == (
        "GET [evm_ethereum.rpc] [evm_ethereum.rpc] [evm_ethereum.rpc] '[evm_ethereum.rpc]' [evm_ethereum.rpc] "
        "[evm_ethereum.rpc] from /v3/rpc of evm_ethereum.rpc_2"
    )
    # A short word of an address is no word to look for in data.
    assert redaction.redact_body(b"own3r passw0rd") == b"own3r [evm_ethereum.rpc]"


def test_an_error_is_redacted_with_everything_behind_it() -> None:
    class UrlError(Exception):
        def __str__(self) -> str:
            return f"cannot reach https://host/{secret}"

    secret = "pl4nted-key-3"
    redaction.protect("v.api", secret)
    behind = UrlError()
    behind.add_note(f"asked with {secret}")
    error = ValueError(f"wrong: {secret}", {"url": [secret]})
    error.__cause__ = behind
    group = ExceptionGroup("several", [KeyError(secret), error])
    assert redaction.redact_error(group) is group
    assert error.args == ("wrong: [v.api]", {"url": ["[v.api]"]})
    cause: BaseException | None = error.__cause__
    assert isinstance(cause, redaction.RedactedError)
    assert secret not in "".join(traceback.format_exception(group))
    assert "cannot reach https://host/[v.api]" in "".join(traceback.format_exception(group))


def test_where_alerts_are_sent_is_kept_out_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERHOUSE_ALERT_WEBHOOK", "https://hooks.example.org/services/T0AB12XY/Zq81kd92")
    Settings.load()
    assert "Zq81kd92" not in redaction.redact("refused by https://hooks.example.org/services/T0AB12XY/Zq81kd92")
