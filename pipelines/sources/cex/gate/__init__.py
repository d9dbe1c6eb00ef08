"""Gate v4 futures."""
