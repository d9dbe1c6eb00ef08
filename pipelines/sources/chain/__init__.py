"""Blockchains as sources, and prices of what they hold."""
