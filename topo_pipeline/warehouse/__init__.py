"""The warehouse: DuckDB, as a file or as a lake. It uses neither HTTP nor Dagster."""
