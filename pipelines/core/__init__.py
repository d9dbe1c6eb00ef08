"""What every layer may use: errors, settings, paths, names of assets, periods, progress. No I/O at import."""
