"""Kraken Futures."""
