"""OKX v5 and its monthly files of settled funding."""
