"""Binance's published archives."""
