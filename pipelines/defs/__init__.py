"""Dagster definitions. No parsing, no SQL, no HTTP."""
