"""Circulating supply of large coins, rounded to orders of magnitude: an amount above it is in another unit.

A dated seed for checks of imports alone. No check for an asset that is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

AS_OF: Final = date(2025, 9, 1)
"""When these were looked up; supplies change by a few percent a year."""

SUPPLY: Final[Mapping[str, float]] = MappingProxyType(
    {
        "AAVE": 1.6e7, "ADA": 3.7e10, "APT": 7e8, "ARB": 5.3e9, "ATOM": 4.7e8, "AVAX": 4.3e8, "BCH": 2e7, "BNB": 1.4e8,
        "BTC": 2e7, "DOGE": 1.51e11, "DOT": 1.6e9, "ENA": 7e9, "ETC": 1.6e8, "ETH": 1.21e8, "FIL": 7e8, "HYPE": 3.4e8,
        "ICP": 5.4e8, "LINK": 6.8e8, "LTC": 7.7e7, "MKR": 1e6, "NEAR": 1.3e9, "OP": 1.8e9, "PEPE": 4.21e14, "SHIB": 5.9e14,
        "SOL": 5.5e8, "SUI": 3.6e9, "TON": 2.6e9, "TRX": 9.5e10, "UNI": 6.3e8, "WIF": 1e9, "XLM": 3.2e10, "XMR": 1.9e7,
        "XRP": 6e10, "ZEC": 1.7e7,
    }
)  # fmt: skip
"""Units of the coin, by canonical ticker."""
