"""Blockchains as sources, and prices of their tokens."""
