"""What leverhouse does for a person or for Dagster: fetch, load, build, rebuild, diagnose. Plain functions, no Dagster."""
