"""Perpetual exchanges on chain with an interface of their own, one module or folder each."""
