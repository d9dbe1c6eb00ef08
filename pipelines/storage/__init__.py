"""The only code that opens DuckDB files: writer, reader, publishing, fingerprints. No Dagster."""
