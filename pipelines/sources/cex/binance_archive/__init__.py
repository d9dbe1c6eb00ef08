"""Binance's public data archives (data.binance.vision)."""
