"""Loading: staging, deduplication, quarantine, reconciliation, coverage. No Dagster."""
