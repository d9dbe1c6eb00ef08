"""One module per venue or chain family: endpoints, paging, error codes, wire format to canonical frame. No Dagster, no database."""
