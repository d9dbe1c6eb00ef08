"""The canonical contract, normalising, deduplicating, quarantine, reconciliation and load. No Dagster."""
