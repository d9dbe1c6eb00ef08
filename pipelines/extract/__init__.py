"""Shared by all sources: HTTP client, rate limits, paging, fetching and landing. No Dagster, no database."""
