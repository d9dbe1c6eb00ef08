"""One module per venue: its wire format, paging and bounds, spoken about a World. The counterpart of pipelines/sources."""
