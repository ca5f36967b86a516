"""The warehouse: DuckDB, as a file or as a lake. Knows neither HTTP nor Dagster."""
