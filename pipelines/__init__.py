"""leverhouse: a warehouse of crypto leverage. Nothing is imported here, so that importing one layer costs only that layer."""
