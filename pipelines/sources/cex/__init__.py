"""Centralized exchanges, one module or folder each. A folder has venue.py (the venue, its feeds and instruments) and, where
needed, history.py, capture.py (current state) and wire.py (wire format)."""
