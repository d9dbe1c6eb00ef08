"""Markets with known ground truth, and emulators that serve them in the venues' wire formats over loopback HTTP. No real data."""
