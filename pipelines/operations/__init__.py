"""Operations that the command line and Dagster run: fetch, load, build, rebuild, diagnostics. Plain functions, no Dagster."""
