"""Dagster as a service on one machine: code server, daemon, and the web server behind a guard. No pipeline logic."""
