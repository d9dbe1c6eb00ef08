"""The data sources, grouped into cex, dex, chain and files, and the modules they share. No Dagster, no database."""
