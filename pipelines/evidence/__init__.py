"""Statistics between two runs of dbt: what followed signals (scorecard), where liquidations lie (levels). Numbers in, numbers out;
who runs it and when is operations'. numpy and scipy are imported by the functions that need them."""
