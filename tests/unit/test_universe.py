"""Parsing the asset of an instrument from its name."""

from __future__ import annotations

import pytest

from pipelines.core.universe import (
    AssetUnit,
    asset_unit,
    canonical_asset,
    is_safe_symbol,
    parse_symbol,
    split_quote,
    spot_symbol,
)


@pytest.mark.parametrize(
    ("base", "asset", "multiplier"),
    [
        ("BTC", "BTC", 1),
        ("1000SHIB", "SHIB", 1_000),
        ("1000PEPE", "PEPE", 1_000),
        ("1000XEC", "XEC", 1_000),
        ("10000LADYS", "LADYS", 10_000),
        ("1000000MOG", "MOG", 1_000_000),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000),
        ("SHIB1000", "SHIB", 1_000),
        ("kPEPE", "PEPE", 1_000),
        ("kBONK", "BONK", 1_000),
    ],
)
def test_a_multiplier_is_split_off_the_asset(base: str, asset: str, multiplier: float) -> None:
    assert asset_unit(base) == AssetUnit(asset, multiplier)


@pytest.mark.parametrize("base", ["1INCH", "KAVA", "KSM", "S", "W", "0X0", "DEFI", "1MIL", "AI16Z", "T", "100X"])
def test_a_number_or_a_k_that_belongs_to_the_name_is_not_a_multiplier(base: str) -> None:
    assert asset_unit(base) == AssetUnit(base, 1)


@pytest.mark.parametrize(
    ("ticker", "asset"),
    [
        ("XBT", "BTC"),
        ("xbt", "BTC"),
        ("WETH", "ETH"),
        ("wBTC", "BTC"),
        ("cbBTC", "BTC"),
        ("tBTC", "BTC"),
        ("XDG", "DOGE"),
    ],
)
def test_venue_spellings_and_wrapped_coins_are_the_coin(ticker: str, asset: str) -> None:
    assert canonical_asset(ticker) == asset


@pytest.mark.parametrize("ticker", ["wstETH", "rETH", "weETH", "LBTC", "stETH"])
def test_a_yield_bearing_coin_is_a_separate_asset(ticker: str) -> None:
    assert canonical_asset(ticker) == ticker.upper()


@pytest.mark.parametrize(
    ("pair", "base", "quote"),
    [("BTCUSDT", "BTC", "USDT"), ("BTCFDUSD", "BTC", "FDUSD"), ("BTCBUSD", "BTC", "BUSD"), ("ETHBTC", "ETH", "BTC")],
)
def test_the_longest_matching_quote_currency_is_split_off(pair: str, base: str, quote: str) -> None:
    assert split_quote(pair) == (base, quote)


def test_a_quote_currency_alone_is_not_a_pair() -> None:
    assert split_quote("USDT") is None
    assert split_quote("BTCXYZ") is None


@pytest.mark.parametrize(
    ("venue", "symbol", "asset", "multiplier", "quote", "contract_type"),
    [
        ("binance", "BTCUSDT", "BTC", 1, "USDT", "linear"),
        ("binance", "1000SHIBUSDT", "SHIB", 1000, "USDT", "linear"),
        ("binance", "1INCHUSDT", "1INCH", 1, "USDT", "linear"),
        ("binance", "BTCUSD_PERP", "BTC", 1, "USD", "inverse"),
        ("binance", "BTCUSDT_240628", "BTC", 1, "USDT", "linear"),
        ("binance", "DOTUSD_PERP", "DOT", 1, "USD", "inverse"),
        ("binance", "BNBUSD_PERP", "BNB", 1, "USD", "inverse"),
        ("binance", "BTC-240628-60000-C", "BTC", 1, "USDT", "option"),
        ("bybit", "BTCUSD", "BTC", 1, "USD", "inverse"),
        ("bybit", "DOTUSD", "DOT", 1, "USD", "inverse"),
        ("bybit", "BTCPERP", "BTC", 1, "USDC", "linear"),
        ("bybit", "SHIB1000USDT", "SHIB", 1000, "USDT", "linear"),
        ("okx", "BTC-USDT-SWAP", "BTC", 1, "USDT", "linear"),
        ("okx", "BTC-USD-SWAP", "BTC", 1, "USD", "inverse"),
        ("okx", "BTC-USD-240628-60000-C", "BTC", 1, "USD", "option"),
        ("deribit", "BTC-PERPETUAL", "BTC", 1, "USD", "inverse"),
        ("deribit", "ETH_USDC-PERPETUAL", "ETH", 1, "USDC", "linear"),
        ("deribit", "BTC-27DEC24-100000-C", "BTC", 1, "USD", "option"),
        ("deribit", "XRP_USDC-30JUN23-0d625-C", "XRP", 1, "USDC", "option"),
        ("kraken", "PF_XBTUSD", "BTC", 1, "USD", "linear"),
        ("kraken", "PI_XBTUSD", "BTC", 1, "USD", "inverse"),
        ("bitmex", "XBTUSD", "BTC", 1, "USD", "inverse"),
        ("bitmex", "XBTUSDT", "BTC", 1, "USDT", "linear"),
        ("bitmex", "ETHUSD", "ETH", 1, "USD", "quanto"),
        ("bitfinex", "tBTCF0:USTF0", "BTC", 1, "USDT", "linear"),
        ("gate", "BTC_USDT", "BTC", 1, "USDT", "linear"),
        ("gate", "BTC_USD", "BTC", 1, "USD", "inverse"),
        ("dydx", "BTC-USD", "BTC", 1, "USD", "linear"),
        ("gmx", "arbitrum:BTC/USD:WBTC.e-USDC", "BTC", 1, "USD", "linear"),
        ("gmx", "avalanche:AVAX/USD:v1", "AVAX", 1, "USD", "linear"),
        ("gmx", "arbitrum:SPX6900/USD:WETH-USDC", "SPX", 1, "USD", "linear"),
        ("hyperliquid", "kPEPE", "PEPE", 1000, "USDC", "linear"),
        ("lighter", "BTC", "BTC", 1, "USDC", "linear"),
    ],
)
def test_a_perpetual_or_option_is_parsed_from_its_name(
    venue: str, symbol: str, asset: str, multiplier: float, quote: str, contract_type: str
) -> None:
    facts = parse_symbol(venue, symbol)
    assert facts is not None
    assert (facts.asset, facts.multiplier, facts.quote, facts.contract_type) == (
        asset,
        multiplier,
        quote,
        contract_type,
    )


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [("binance", "BTC/USDT"), ("binance", "BTCUSDT"), ("bybit", "BTC/USDT"), ("okx", "BTC-USDT"), ("gate", "BTC_USDT")],
)
def test_a_spot_pair_is_parsed_as_spot(venue: str, symbol: str) -> None:
    facts = parse_symbol(venue, symbol, market="spot")
    assert facts is not None
    assert (facts.asset, facts.quote, facts.contract_type) == ("BTC", "USDT", "spot")


def test_spot_and_perpetual_of_one_venue_never_share_a_name() -> None:
    assert spot_symbol("binance", "BTC", "USDT") != "BTCUSDT"
    assert spot_symbol("okx", "BTC", "USDT") == "BTC-USDT"


@pytest.mark.parametrize(
    ("venue", "symbol"),
    [
        ("binance", "nonsense"),
        ("okx", "BTC--SWAP"),
        ("deribit", "BTC-27DEC24-100000-X"),
        ("kraken", "XBTUSD"),
        ("dydx", "BTC-EUR"),
        ("nowhere", "BTCUSDT"),
        ("binance", "../../x"),
        ("binance", "'; drop table clean.candles; --"),
    ],
)
def test_a_name_that_matches_no_rule_of_the_venue_is_unknown(venue: str, symbol: str) -> None:
    assert parse_symbol(venue, symbol) is None


@pytest.mark.parametrize(
    "text", ["../../x", "a//b", "'; drop table x", "", " BTC", "BTC\n", "x" * 65, "..", "-BTC", "BTC\u0000"]
)
def test_paths_and_sql_statements_are_not_symbols(text: str) -> None:
    assert not is_safe_symbol(text)
