"""Topo's API over httpx. Knows neither Dagster nor DuckDB."""
