"""What every source shares: landing of received bytes. No Dagster, no database."""
