"""Solana: one source of lending liquidations, read from instructions and not from events."""
