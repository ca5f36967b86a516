"""Dagster as the command line drives it."""
