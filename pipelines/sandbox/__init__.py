"""Worlds with known truth, and emulators that speak the venues' wire formats over loopback HTTP. Nothing here is real data."""
