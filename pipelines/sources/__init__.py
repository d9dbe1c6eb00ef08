"""The data sources, in groups: cex and dex venues, chains, files. Beside the groups what all share. No Dagster, no database."""
