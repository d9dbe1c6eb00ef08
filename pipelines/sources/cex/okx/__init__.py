"""OKX v5 and its files."""
