"""Hyperliquid: its interface, and liquidations among the fills of its chain."""
