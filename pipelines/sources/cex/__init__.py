"""Centralised exchanges, one module or folder each: venue (what it declares), history, capture, wire."""
