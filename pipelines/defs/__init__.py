"""Dagster objects only. No parsing, no SQL, no HTTP."""
