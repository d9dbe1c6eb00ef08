"""Binance's public API (fapi, dapi, spot, eapi)."""
