"""The only code that opens DuckDB: writer, reader, publish, fingerprints. No Dagster."""
