"""One emulator per venue: its wire format, paging and bounds, serving data of a MarketModel. Counterpart of pipelines/sources."""
