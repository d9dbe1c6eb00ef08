"""The canonical contract, normalizing, deduplicating, quarantine, reconciliation and load. No Dagster."""
