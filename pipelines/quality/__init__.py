"""The quality gate: Great Expectations suites and their runner. No Dagster; opens no database."""
