"""Asset of an instrument: multipliers, wrapped coins, venue spellings, quote currencies, inverse contracts.

Pure functions on names. Listed instruments (venues publish them) and prices do not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

ContractType = Literal["linear", "inverse", "quanto", "spot", "option"]
Market = Literal["spot", "perp"]

QUOTES: Final = (
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDD", "USDE", "USD1", "USDP", "DAI", "USD", "EUR", "GBP", "TRY", "BRL",
    "JPY", "BTC", "ETH", "BNB",
)  # fmt: skip
"""Quote currencies; one that is a suffix of another comes after it: BTCFDUSD is BTC in FDUSD, not BTCFD in USD."""

UNIVERSE_SIZE: Final = 20
"""Number of most traded assets per ranking."""

ALWAYS_FOLLOWED: Final = ("AVAX",)

DEFAULT_UNIVERSE: Final = (
    "BTC", "ETH", "SOL", "XRP", "DOGE", "BNB", "ADA", "LINK", "SUI", "PEPE", "LTC", "BCH", "DOT", "TRX", "UNI", "AAVE",
    "NEAR", "WIF", "ENA", "HYPE", "AVAX",
)  # fmt: skip
"""Universe until the first turnover ranking is captured (choose_universe)."""

NO_UNIVERSE: Final = frozenset({"USDT", "USDC", "USDE", "DAI", "FDUSD", "TUSD", "USD1", "EUR", "GBP", "BTCDOM", "DEFI"})
"""Stablecoins, currencies and indices: traded, but without leverage of their own."""

# One wrapped coin redeems for exactly one coin. Staked coins (wstETH, rETH, weETH) earn a yield and are separate assets.
WRAPPED: Final = {
    "WETH": "ETH",
    "WBTC": "BTC",
    "CBBTC": "BTC",
    "TBTC": "BTC",
    "RENBTC": "BTC",
    "BTCB": "BTC",
    "BTC.B": "BTC",
    "WAVAX": "AVAX",
    "WBNB": "BNB",
    "WMATIC": "MATIC",
    "WPOL": "POL",
    "WSOL": "SOL",
}

# Kraken and BitMEX use ISO-like codes: X for currencies that no country issues. GMX spells out SPX6900.
SPELLINGS: Final = {"XBT": "BTC", "XXBT": "BTC", "XETH": "ETH", "XDG": "DOGE", "XXDG": "DOGE", "SPX6900": "SPX"}

# 1000SHIB, 10000LADYS, 1000000MOG (Binance, Bybit); 1MBABYDOGE (Binance); kPEPE (Hyperliquid); SHIB1000 (Bybit).
# A letter must follow the number: 1INCH is a name, and so is 0X0. Only 10³ to 10⁶ are ever used.
_NUMBER_FIRST: Final = re.compile(r"(?P<factor>1000000|100000|10000|1000)(?P<asset>[A-Z][A-Z0-9]*)")
_MILLION_FIRST: Final = re.compile(r"1M(?P<asset>[A-Z][A-Z0-9]{2,})")
_KILO_FIRST: Final = re.compile(r"k(?P<asset>[A-Z][A-Z0-9]+)")
_NUMBER_LAST: Final = re.compile(r"(?P<asset>[A-Z]{3,})(?P<factor>1000000|10000|1000)")

# Letters of any alphabet: Binance lists 币安人生USDT.
_SYMBOL: Final = re.compile(r"[^\W_][\w.:/\-]{0,63}")


@dataclass(frozen=True)
class AssetUnit:
    """The asset of an instrument and how many units of it one unit of the instrument represents (1000PEPE: 1000)."""

    asset: str
    multiplier: float = 1.0


@dataclass(frozen=True)
class InstrumentFacts:
    """Facts parsed from an instrument's name. Contract sizes are not in names; venues publish them."""

    instrument: str
    asset: str
    multiplier: float
    quote: str
    contract_type: ContractType


def choose_universe(rankings: Iterable[Mapping[str, float]]) -> tuple[str, ...]:
    """The universe: the union of the UNIVERSE_SIZE most traded assets of every ranking, plus ALWAYS_FOLLOWED.

    A ranking is the 24-hour turnover in dollars by asset, taken from the first capture of a calendar month. An asset never
    leaves the universe: dropping it when its volume falls would cut the end of its history out of every comparison. Ties are
    broken by name; assets of the newest ranking come first. DEFAULT_UNIVERSE if there is no ranking.
    """
    chosen: dict[str, None] = {}
    for ranking in reversed(list(rankings)):
        traded = [
            (-turnover, asset) for asset, turnover in ranking.items() if asset not in NO_UNIVERSE and turnover > 0
        ]
        chosen |= dict.fromkeys(asset for _, asset in sorted(traded)[:UNIVERSE_SIZE])
    return (*chosen, *(a for a in ALWAYS_FOLLOWED if a not in chosen)) if chosen else DEFAULT_UNIVERSE


def is_safe_symbol(text: str) -> bool:
    """Whether `text` is acceptable as an instrument name: no path, no SQL, no control characters."""
    return _SYMBOL.fullmatch(text) is not None and ".." not in text and "//" not in text


def asset_unit(base: str) -> AssetUnit:
    """Canonical asset of a venue's base ticker: multiplier split off, venue spelling and wrapping resolved.

    Case matters for one rule only: a lower-case k is Hyperliquid's prefix for 1000, while KAVA is a coin.
    """
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        if match := pattern.fullmatch(base.upper()):
            return AssetUnit(canonical_asset(match["asset"]), float(match["factor"]))
    if match := _MILLION_FIRST.fullmatch(base.upper()):
        return AssetUnit(canonical_asset(match["asset"]), 1_000_000.0)
    if match := _KILO_FIRST.fullmatch(base):
        return AssetUnit(canonical_asset(match["asset"]), 1000.0)
    return AssetUnit(canonical_asset(base))


def canonical_asset(ticker: str) -> str:
    """Canonical ticker of a coin: upper case, XBT as BTC, WETH as ETH."""
    upper = ticker.upper()
    spelled = SPELLINGS.get(upper, upper)
    return WRAPPED.get(spelled, spelled)


def split_quote(pair: str, quotes: tuple[str, ...] = QUOTES) -> tuple[str, str] | None:
    """(base, quote) of a pair without separator, by the first of `quotes` that it ends with; None if there is none.

    Pass the quotes of the venue: DOTUSD is DOT in USD on a venue without TUSD.
    """
    for quote in quotes:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair.removesuffix(quote), quote
    return None


def spot_symbol(venue: str, base: str, quote: str) -> str:
    """Name of a spot pair in the warehouse.

    Binance and Bybit name both a spot pair and its perpetual BTCUSDT. Because an instrument is one row per venue and name,
    their spot pairs are written with a slash, as both venues display them: BTC/USDT.
    """
    separator = "/" if venue in {"binance", "bybit"} else "-"
    return f"{base}{separator}{quote}"


def parse_symbol(venue: str, symbol: str, *, market: Market = "perp") -> InstrumentFacts | None:
    """Facts of `symbol` of `venue`, or None if the name does not follow the venue's rule."""
    if not is_safe_symbol(symbol):
        return None
    rule = _RULES.get(venue)
    found = rule(symbol, market) if rule else None
    if found is None:
        return None
    base, quote, contract_type = found
    unit = asset_unit(base)
    return InstrumentFacts(symbol, unit.asset, unit.multiplier, canonical_asset(quote), contract_type)


_Found = tuple[str, str, ContractType]


_ONE_WORD_OPTION: Final = re.compile(r"(?P<base>[A-Z0-9]+)-\d{1,2}[A-Z0-9]+-[0-9d.]+-[CP](-USDT)?")


def _binance(symbol: str, market: Market) -> _Found | None:
    """Binance: BTCUSDT linear, BTCUSD_PERP and BTCUSD_240628 inverse, BTC/USDT spot, BTC-240628-60000-C option."""
    if option := _ONE_WORD_OPTION.fullmatch(symbol):
        return option["base"], "USDT", "option"
    if market == "spot" or "/" in symbol:
        return _spot_pair(symbol)
    pair, _, expiry = symbol.partition("_")
    if expiry and pair.endswith("USD"):
        return pair.removesuffix("USD"), "USD", "inverse"
    split = split_quote(pair, ("USDT", "USDC", "BUSD", "BTC"))
    return (*split, "linear") if split else None


def _bybit(symbol: str, market: Market) -> _Found | None:
    """Bybit: BTCUSDT and BTCPERP (in USDC) linear, BTCUSD inverse, BTC/USDT spot, BTC-28JUN24-60000-C option."""
    if option := _ONE_WORD_OPTION.fullmatch(symbol):
        return option["base"], "USDT" if symbol.endswith("-USDT") else "USDC", "option"
    if market == "spot" or "/" in symbol:
        return _spot_pair(symbol)
    if symbol.endswith("PERP"):
        return symbol.removesuffix("PERP"), "USDC", "linear"
    split = split_quote(symbol, ("USDT", "USDC", "USD"))
    return (*split, "inverse" if split[1] == "USD" else "linear") if split else None


def _spot_pair(symbol: str) -> _Found | None:
    base, _, quote = symbol.partition("/")
    split = (base, quote) if quote else split_quote(symbol)
    return (*split, "spot") if split and split[0] and split[1] in QUOTES else None


def _dashed(symbol: str, market: Market) -> _Found | None:
    """OKX: BTC-USDT spot, BTC-USDT-SWAP linear, BTC-USD-SWAP inverse, BTC-USD-240628-60000-C option."""
    parts = symbol.split("-")
    if len(parts) < 2 or not all(parts):
        return None
    base, quote = parts[0], parts[1]
    if len(parts) == 5:
        return base, quote, "option"
    if len(parts) == 2:
        return (base, quote, "spot") if market == "spot" or quote != "USD" else None
    return base, quote, "inverse" if quote == "USD" else "linear"


def _deribit(symbol: str, market: Market) -> _Found | None:
    """Deribit: BTC-PERPETUAL inverse, ETH_USDC-PERPETUAL linear, BTC-27DEC24-100000-C option, BTC_USDC spot."""
    head, _, tail = symbol.partition("-")
    base, _, quote = head.partition("_")
    if market == "spot" and not tail:
        return (base, quote, "spot") if quote else None
    if not base or not tail:
        return None
    if re.fullmatch(r"\d{1,2}[A-Z]{3}\d{2}-[0-9d]+-[CP]", tail):
        return base, quote or "USD", "option"
    if tail != "PERPETUAL" and not re.fullmatch(r"\d{1,2}[A-Z]{3}\d{2}", tail):
        return None
    return base, quote or "USD", "linear" if quote else "inverse"


def _kraken(symbol: str, market: Market) -> _Found | None:
    """Kraken Futures: PF_XBTUSD linear (multi-collateral), PI_XBTUSD and FI_XBTUSD_240628 inverse."""
    match = re.fullmatch(r"(?P<kind>P[FI]|F[FI])_(?P<base>[A-Z0-9]+)USD(_\d{6})?", symbol)
    if match is None or market == "spot":
        return None
    return match["base"], "USD", "linear" if match["kind"].endswith("F") else "inverse"


def _bitmex(symbol: str, market: Market) -> _Found | None:
    """BitMEX: XBTUSD inverse, XBTUSDT linear, ETHUSD quanto (settled in bitcoin)."""
    split = split_quote(symbol, ("USDT", "USDC", "USD", "EUR"))
    if split is None or market == "spot":
        return None
    base, quote = split
    if quote != "USD":
        return base, quote, "linear"
    return base, quote, "inverse" if base == "XBT" else "quanto"


def _hyperliquid(symbol: str, market: Market) -> _Found | None:
    """Hyperliquid: BTC, kPEPE; perpetuals that others deploy have the name of their exchange before them: xyz:TSLA. Their quote is
    what they settle in, which is not in the name."""
    match = re.fullmatch(r"(?:[a-z0-9]+:)?(?P<base>k?[A-Z0-9]+)", symbol)
    return (match["base"], "USDC", "linear") if match and market == "perp" else None


def _aster(symbol: str, market: Market) -> _Found | None:
    """Aster: BTCUSDT, CLUSD1; all linear."""
    split = split_quote(symbol, ("USDT", "USDC", "USD1", "USDF", "USD"))
    return (*split, "linear") if split and market == "perp" else None


def _edgex(symbol: str, market: Market) -> _Found | None:
    """edgeX: BTCUSDC, linear; BTCUSD before V2."""
    split = split_quote(symbol, ("USDC", "USDT", "USD"))
    return (*split, "linear") if split and market == "perp" else None


def _paradex(symbol: str, market: Market) -> _Found | None:
    """Paradex: BTC-USD-PERP, settled in USDC, so linear."""
    match = re.fullmatch(r"(?P<base>k?[A-Z0-9]+)-USD-PERP", symbol)
    return (match["base"], "USD", "linear") if match and market == "perp" else None


def _bare(quote: str) -> Callable[[str, Market], _Found | None]:
    """Lighter names a perpetual by its base only: BTC."""

    def rule(symbol: str, market: Market) -> _Found | None:
        if market == "spot" or re.fullmatch(r"k?[A-Z0-9]+", symbol) is None:
            return None
        return symbol, quote, "linear"

    return rule


def _dydx(symbol: str, market: Market) -> _Found | None:
    """dYdX v4: BTC-USD, settled in USDC, so linear."""
    match = re.fullmatch(r"(?P<base>[A-Z0-9.]+)-USD", symbol)
    return (match["base"], "USD", "linear") if match and market == "perp" else None


def _orderly(symbol: str, market: Market) -> _Found | None:
    """Orderly: PERP_BTC_USDC, linear."""
    match = re.fullmatch(r"PERP_(?P<base>[A-Z0-9]+)_USDC", symbol)
    return (match["base"], "USDC", "linear") if match and market == "perp" else None


def _gmx(symbol: str, market: Market) -> _Found | None:
    """GMX: chain:index/USD:collateral pool, linear: arbitrum:BTC/USD:WBTC.e-USDC, avalanche:AVAX/USD:v1."""
    match = re.fullmatch(r"[a-z]+:(?P<base>[A-Z0-9]+)/USD:[A-Za-z0-9.\-]+", symbol)
    return (match["base"], "USD", "linear") if match and market == "perp" else None


def _gate(symbol: str, market: Market) -> _Found | None:
    """Gate: BTC_USDT linear, BTC_USD inverse; spot pairs have the same names as perpetuals."""
    base, _, quote = symbol.partition("_")
    if not base or quote not in QUOTES:
        return None
    if market == "spot":
        return base, quote, "spot"
    return base, quote, "inverse" if quote == "USD" else "linear"


def _bitfinex(symbol: str, market: Market) -> _Found | None:
    """Bitfinex: tBTCF0:USTF0 linear in USDT (UST is Bitfinex's code for it)."""
    match = re.fullmatch(r"t(?P<base>[A-Z0-9]+)F0:USTF0", symbol)
    return (match["base"], "USDT", "linear") if match and market == "perp" else None


def _dash_pair(symbol: str, market: Market) -> _Found | None:
    """HTX and BingX: BTC-USDT linear, BTC-USD inverse."""
    base, _, quote = symbol.partition("-")
    if not base or quote not in ("USDT", "USDC", "USD") or market == "spot":
        return None
    return base, quote, "inverse" if quote == "USD" else "linear"


def _kucoin(symbol: str, market: Market) -> _Found | None:
    """KuCoin: XBTUSDTM linear, XBTUSDM inverse; the last M marks a perpetual."""
    split = split_quote(symbol.removesuffix("M"), ("USDT", "USDC", "USD"))
    if split is None or market == "spot" or not symbol.endswith("M"):
        return None
    return (*split, "inverse" if split[1] == "USD" else "linear")


def _phemex(symbol: str, market: Market) -> _Found | None:
    """Phemex: BTCUSDT and BTCUSDC linear. Its contracts in dollars (BTCUSD) are not read."""
    split = split_quote(symbol, ("USDT", "USDC"))
    return (*split, "linear") if split and market == "perp" else None


_RULES: Final[dict[str, Callable[[str, Market], _Found | None]]] = {
    "binance": _binance,
    "bybit": _bybit,
    "okx": _dashed,
    "deribit": _deribit,
    "kraken": _kraken,
    "bitmex": _bitmex,
    "bitfinex": _bitfinex,
    "bingx": _dash_pair,
    "bitget": _bybit,
    "htx": _dash_pair,
    "kucoin": _kucoin,
    "mexc": _gate,
    "phemex": _phemex,
    "gate": _gate,
    "gmx": _gmx,
    "dydx": _dydx,
    "hyperliquid": _hyperliquid,
    "aster": _aster,
    "edgex": _edgex,
    "paradex": _paradex,
    "lighter": _bare("USDC"),
    "orderly": _orderly,
}
