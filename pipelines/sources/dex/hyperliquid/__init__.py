"""Hyperliquid: its API, and (fills.py, a venue of its own) single liquidations from the fills of its chain."""
