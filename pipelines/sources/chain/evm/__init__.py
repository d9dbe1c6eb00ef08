"""EVM chains: log sources, the ABI, one module per protocol family, contracts and tokens."""
