"""On-chain perpetual exchanges with an API of their own, one module or folder each, with the same file names as in cex."""
