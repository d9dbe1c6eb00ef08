"""Shared by every layer: errors, settings, paths, asset names, periods, progress. No I/O at import."""
